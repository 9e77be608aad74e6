"""Tensor parallel size: what was asked for if it can work, else the smallest power of two that fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrelease_assets.assets.release.tensor_parallel import (
    WEIGHT_HEADROOM,
    TensorParallelError,
    plan_tensor_parallel,
)


def size(requested: int | None = None, **changes: int | None) -> int:
    facts: dict[str, int | None] = {
        "device_memory_mb": 80_000,
        "weight_bytes": 14_000_000_000,
        "attention_heads": 32,
    }
    devices = changes.pop("devices", 8)
    assert devices is not None
    return plan_tensor_parallel(requested, devices=devices, **{**facts, **changes}).size


def test_a_model_that_fits_one_device_is_not_split() -> None:
    assert size() == 1


def test_weights_with_headroom_decide_how_many_devices_are_needed() -> None:
    assert size(weight_bytes=140_000_000_000) == 4
    assert size(weight_bytes=int(80_000_000_000 / WEIGHT_HEADROOM)) == 1
    assert size(weight_bytes=int(81_000_000_000 / WEIGHT_HEADROOM)) == 2


def test_a_model_that_fits_no_number_of_devices_takes_all_and_says_so() -> None:
    plan = plan_tensor_parallel(
        None, devices=6, device_memory_mb=1000, weight_bytes=10**12, attention_heads=32
    )
    assert plan.size == 4, "a power of two, never six"
    assert "does not fit" in plan.reason


def test_heads_that_do_not_divide_stop_the_split() -> None:
    assert size(weight_bytes=140_000_000_000, attention_heads=6) == 2


@pytest.mark.parametrize("unknown", ["device_memory_mb", "weight_bytes"])
def test_what_is_unknown_is_no_reason_to_split(unknown: str) -> None:
    assert size(**{"weight_bytes": 10**12, unknown: None}) == 1


def test_a_cpu_worker_counts_as_one_device() -> None:
    assert size(devices=0) == 1
    assert size(1, devices=0) == 1
    with pytest.raises(TensorParallelError, match="only 1 device"):
        size(2, devices=0)


def test_more_devices_than_there_are_names_the_setting_and_the_most_possible() -> None:
    with pytest.raises(TensorParallelError, match="set tensor_parallel_size to at most 8"):
        size(16)


def test_a_requested_size_that_does_not_divide_the_heads_is_refused() -> None:
    with pytest.raises(TensorParallelError, match="3 does not divide the model's 32 attention heads"):
        size(3)
    assert size(3, attention_heads=None) == 3, "unknown heads refuse nothing"


@given(
    devices=st.integers(0, 64),
    memory=st.integers(1, 200_000),
    weights=st.integers(1, 10**13),
    heads=st.one_of(st.none(), st.integers(1, 256)),
)
def test_a_chosen_size_is_always_one_that_could_be_requested(
    devices: int, memory: int, weights: int, heads: int | None
) -> None:
    chosen = plan_tensor_parallel(
        None, devices=devices, device_memory_mb=memory, weight_bytes=weights, attention_heads=heads
    ).size
    again = plan_tensor_parallel(
        chosen, devices=devices, device_memory_mb=memory, weight_bytes=weights, attention_heads=heads
    )
    assert again.size == chosen
    assert chosen & (chosen - 1) == 0
