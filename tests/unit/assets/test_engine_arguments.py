"""One list of engine arguments, as `vllm serve` takes it and as the offline engine takes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrelease_assets.assets.release.engine_arguments import SERVER_ONLY, as_assignments
from flagrelease_assets.deployment import DeploymentError


@pytest.mark.parametrize(
    ("arguments", "assignments"),
    [
        ([], []),
        (["--enforce-eager"], ["enforce_eager=true"]),
        (["--max-model-len", "2048"], ["max_model_len=2048"]),
        (["--max-model-len=2048"], ["max_model_len=2048"]),
        (["--enforce-eager", "--dtype", "float16"], ["enforce_eager=true", "dtype=float16"]),
        (["--hf-overrides", '{"a": "b=c"}'], ['hf_overrides={"a": "b=c"}']),
        (["--cpu-offload-gb", "-1"], ["cpu_offload_gb=-1"]),
        (["--empty="], ["empty="]),
    ],
)
def test_flags_become_the_keywords_of_the_same_name(arguments: list[str], assignments: list[str]) -> None:
    assert as_assignments(arguments) == assignments


@pytest.mark.parametrize("flag", sorted(SERVER_ONLY))
def test_flags_of_the_http_server_are_left_out_with_their_values(flag: str) -> None:
    assert as_assignments([flag, "value", "--dtype", "auto"]) == ["dtype=auto"]
    assert as_assignments([f"{flag}=value"]) == []


@pytest.mark.parametrize("arguments", [["oops"], ["--dtype", "auto", "oops"], ["-tp", "2"], [""]])
def test_a_word_without_a_flag_says_where_to_correct_it(arguments: list[str]) -> None:
    with pytest.raises(DeploymentError, match=r"belongs to no --flag: correct .*vllm_args"):
        as_assignments(arguments)


@given(st.lists(st.tuples(st.from_regex(r"--[a-z][a-z-]{0,10}", fullmatch=True), st.integers())))
def test_both_spellings_of_a_flag_mean_the_same(flags: list[tuple[str, int]]) -> None:
    apart = [word for flag, value in flags for word in (flag, str(value))]
    joined = [f"{flag}={value}" for flag, value in flags]
    assert as_assignments(apart) == as_assignments(joined)
