from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from container_scripts import engine_flags, prompts, run_offline_inference
from tests.doubles import vllm_on_path

PROGRAM = "run_offline_inference"


def test_a_healthy_engine_gives_tokens_scores_and_gaps_for_every_prompt(tmp_path: Path) -> None:
    code, document = vllm_on_path.run(PROGRAM, tmp_path / "o.json", "--model", "m")
    assert (code, document["status"], document["stage_reached"]) == (0, "PASS", "check")
    assert [output["prompt_id"] for output in document["outputs"]] == [p.id for p in prompts.read_prompts()]
    for output in document["outputs"]:
        assert len(output["token_ids"]) == len(output["logprobs"]) == len(output["top2_gap"]) > 0
        assert all(gap > 0 for gap in output["top2_gap"])
    assert document["stack_observed"]["vllm_platform"] == "vllm.platforms.DoublePlatform"
    assert document["checks"]["anchor"]["ok"] is True
    assert document["timings_s"]["total"] > 0


@pytest.mark.parametrize(
    ("eager", "compilation", "mode"),
    [
        (True, SimpleNamespace(), "eager"),
        (False, SimpleNamespace(cudagraph_mode=SimpleNamespace(name="FULL_AND_PIECEWISE")), "graphs"),
        (False, SimpleNamespace(cudagraph_mode=SimpleNamespace(name="NONE")), "compiled"),
        (False, SimpleNamespace(use_cudagraph=False), "compiled"),
        (None, SimpleNamespace(), None),
    ],
)
def test_the_execution_mode_is_asked_of_the_engine(
    eager: bool | None, compilation: object, mode: str | None
) -> None:
    config = SimpleNamespace(
        model_config=SimpleNamespace(enforce_eager=eager), compilation_config=compilation
    )
    engine = SimpleNamespace(llm_engine=SimpleNamespace(vllm_config=config))
    assert run_offline_inference.execution_of(engine) == mode
    assert run_offline_inference.execution_of(SimpleNamespace()) is None


def test_the_same_model_twice_gives_the_same_tokens(tmp_path: Path) -> None:
    _, first = vllm_on_path.run(PROGRAM, tmp_path / "1.json", "--model", "m")
    _, second = vllm_on_path.run(PROGRAM, tmp_path / "2.json", "--model", "m")
    assert first["outputs"] == second["outputs"]


@pytest.mark.parametrize(
    ("mode", "stage", "error"),
    [
        ("oom", "engine_init", "Engine core initialization failed"),
        ("empty_answers", "check", "non_empty"),
        ("garbled", "check", "not_degenerate"),
    ],
)
def test_each_way_to_fail_is_named_with_its_stage(tmp_path: Path, mode: str, stage: str, error: str) -> None:
    code, document = vllm_on_path.run(PROGRAM, tmp_path / "o.json", "--model", "m", mode=mode)
    assert (code, document["status"], document["stage_reached"]) == (1, "FAIL", stage)
    assert error in document["error"]


def test_repetition_may_be_allowed_for_random_weights(tmp_path: Path) -> None:
    flags = ("--model", "m", "--allow-degenerate")
    _, document = vllm_on_path.run(PROGRAM, tmp_path / "o.json", *flags, mode="garbled")
    assert document["status"] == "PASS"
    assert document["checks"]["not_degenerate"]["ok"] is False


def test_a_hang_becomes_a_document_with_status_timeout(tmp_path: Path) -> None:
    flags = ("--model", "m", "--timeout", "2")
    code, document = vllm_on_path.run(PROGRAM, tmp_path / "o.json", *flags, mode="hangs_first_request")
    assert (code, document["status"], document["stage_reached"]) == (1, "TIMEOUT", "generate")
    assert "DeadlineReached" in document["error"]


def test_a_model_without_chat_template_answers_the_completions_only(tmp_path: Path) -> None:
    _, document = vllm_on_path.run(PROGRAM, tmp_path / "o.json", "--model", "m", mode="no_chat_template")
    assert document["has_chat_template"] is False
    assert {output["kind"] for output in document["outputs"]} == {"completion"}


def test_a_worker_without_vllm_fails_at_import(tmp_path: Path) -> None:
    code, document = vllm_on_path.run(PROGRAM, tmp_path / "o.json", "--model", "m", PYTHONPATH="")
    assert (code, document["stage_reached"]) == (1, "import")
    assert document["error"].startswith("ModuleNotFoundError: No module named 'vllm'")


def test_extra_arguments_are_json_or_else_text() -> None:
    parsed = engine_flags.parse_assignments(
        ['hf-overrides={"a": "b c"}', "max_num_seqs=4", "load_format=dummy"]
    )
    assert parsed == {"hf_overrides": {"a": "b c"}, "max_num_seqs": 4, "load_format": "dummy"}
    with pytest.raises(ValueError, match="KEY=VALUE"):
        engine_flags.parse_assignments(["novalue"])


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [{"id": "a", "kind": "song", "prompt": "x"}],
        [{"id": "a"}],
        ["x"],
        [{"id": "a", "kind": "chat", "prompt": "x"}] * 2,
    ],
)
def test_a_wrong_prompts_file_is_refused_by_name(tmp_path: Path, entries: list[object]) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps(entries))
    with pytest.raises(ValueError, match=r"prompts\.json"):
        prompts.read_prompts(str(path))


def test_there_are_five_fixed_prompts_and_one_has_a_known_answer() -> None:
    fixed = prompts.read_prompts()
    assert len(fixed) == 5
    assert [prompt.anchors[0] for prompt in fixed if prompt.anchors] == ["Paris"]
