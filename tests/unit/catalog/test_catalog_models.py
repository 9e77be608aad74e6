from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flagrelease_assets.catalog import (
    BenchmarkProfile,
    ProfileScale,
    UnknownStackReleaseError,
    UnknownVendorError,
    load_catalog,
)

CATALOG = load_catalog()


def test_every_vendor_of_the_product_is_there() -> None:
    assert set(CATALOG.vendors) == {
        "nvidia", "ascend", "metax", "iluvatar", "mthreads", "hygon", "amd", "enflame", "cambricon",
        "kunlunxin", "tsingmicro", "sunrise", "cpu",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "vendor"),
    [("hcu", "hygon"), ("dcu", "hygon"), ("musa", "mthreads"), ("huawei", "ascend"), ("muxi", "metax"),
     ("klx", "kunlunxin"), ("mlu", "cambricon"), ("gcu", "enflame"), (" NVIDIA ", "nvidia"), ("cpu", "cpu")],
)  # fmt: skip
def test_aliases_resolve_to_the_canonical_vendor(name: str, vendor: str) -> None:
    assert CATALOG.resolve_vendor(name) == vendor


def test_an_unknown_vendor_is_refused_with_the_names_and_the_nearest() -> None:
    with pytest.raises(UnknownVendorError, match=r"'nvidea'; did you mean nvidia\? Vendors: amd, ascend"):
        CATALOG.resolve_vendor("nvidea")


def test_an_unknown_stack_release_is_refused_with_the_ids() -> None:
    with pytest.raises(UnknownStackReleaseError, match=r"fl-0\.20\.2"):
        CATALOG.stack_release("vllm-9")


def test_records_cannot_be_changed_after_loading() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        CATALOG.vendors["cpu"].display_name = "other"  # type: ignore[misc]


def test_the_five_profiles_are_those_of_the_perf_test() -> None:
    assert [(p.input_len, p.output_len, p.num_prompts) for p in CATALOG.profiles] == [
        (256, 128, 100), (4096, 128, 100), (256, 1024, 100), (4096, 1024, 100), (1024, 512, 500)
    ]  # fmt: skip


def test_an_accelerator_runs_the_profiles_at_full_size() -> None:
    assert CATALOG.profiles_for("nvidia") == list(CATALOG.profiles)


def test_a_scaled_profile_names_its_full_size() -> None:
    for scaled, full in zip(CATALOG.profiles_for("cpu"), CATALOG.profiles, strict=True):
        assert scaled.name == full.name and scaled.input_len < full.input_len
        assert scaled.full_size is not None
        assert scaled.full_size.model_dump() == full.model_dump(exclude={"name", "full_size"})


@given(
    size=st.tuples(*[st.integers(1, 100_000)] * 3),
    length=st.floats(0.001, 1),
    prompts=st.floats(0.001, 1),
    minimum=st.integers(1, 64),
)
def test_scaling_never_enlarges_and_never_empties_a_profile(
    size: tuple[int, int, int], length: float, prompts: float, minimum: int
) -> None:
    full = BenchmarkProfile(name="p", input_len=size[0], output_len=size[1], num_prompts=size[2])
    scale = ProfileScale(
        length=length, prompts=prompts, min_length=minimum, min_prompts=minimum, reason="slow"
    )
    scaled = scale.apply(full)
    for key in ("input_len", "output_len", "num_prompts"):
        assert 1 <= getattr(scaled, key) <= getattr(full, key)
        assert getattr(scaled, key) >= min(minimum, getattr(full, key))


def test_a_vendor_raises_only_the_limits_that_it_names() -> None:
    slow, common = CATALOG.vendors["tsingmicro"].timeouts, CATALOG.vendors["nvidia"].timeouts
    assert slow.startup == 5760 > common.startup
    assert slow.command == common.command


def test_engine_arguments_become_serve_flags() -> None:
    assert CATALOG.vendors["mthreads"].serve_flags == [
        "--enforce-eager", "--block-size", "64", "--attention-config", '{"backend": "TORCH_SDPA"}'
    ]  # fmt: skip
    assert CATALOG.vendors["cpu"].serve_flags == ["--enforce-eager", "--dtype", "float32"]
    without = {"engine_arguments": {"enable_chunked_prefill": False}}
    disabled = CATALOG.vendors["cpu"].model_copy(update=without)
    assert disabled.serve_flags == ["--no-enable-chunked-prefill"]


def test_only_what_needs_a_reason_has_one_on_the_cpu() -> None:
    cpu = CATALOG.vendors["cpu"]
    assert not cpu.supports_full_stack and cpu.full_stack_reason
    assert cpu.flagcx is None and cpu.flagcx_reason
