"""How many devices a model is split over: what was asked for, or the smallest power of two that fits.

Belongs here: the arithmetic of tensor parallel size. Does not belong here: measuring devices or models.
"""

from __future__ import annotations

from dataclasses import dataclass

# Weights times this leaves room for activations and a small KV cache, as production releases size it.
WEIGHT_HEADROOM = 1.2


class TensorParallelError(ValueError):
    """A tensor parallel size that cannot work on this worker with this model."""


@dataclass(frozen=True)
class TensorParallelPlan:
    """The size to use, and why."""

    size: int
    reason: str


def plan_tensor_parallel(
    requested: int | None,
    *,
    devices: int,
    device_memory_mb: int | None,
    weight_bytes: int | None,
    attention_heads: int | None,
) -> TensorParallelPlan:
    """Return the tensor parallel size to run with.

    Args:
        requested: the deployment's choice; None to choose here.
        devices: accelerators in the worker; 0 on a CPU worker, which counts as one.
        device_memory_mb: memory of the smallest device in MB, if known.
        weight_bytes: size of the model's weight files, if known.
        attention_heads: the model's attention heads, if known.

    Raises:
        TensorParallelError: more devices than there are, or heads that do not divide.
    """
    available = max(devices, 1)
    if requested is not None:
        if requested > available:
            raise TensorParallelError(
                f"tensor parallel size {requested} requested but only {available} device(s) available: "
                f"set tensor_parallel_size to at most {available}"
            )
        if attention_heads and attention_heads % requested:
            raise TensorParallelError(
                f"tensor parallel size {requested} does not divide the model's {attention_heads} "
                "attention heads"
            )
        return TensorParallelPlan(requested, "as configured")
    if not devices or not device_memory_mb or not weight_bytes:
        return TensorParallelPlan(1, "one device: nothing is known that needs more")
    needed = weight_bytes * WEIGHT_HEADROOM / (device_memory_mb * 1_000_000)
    size = 1
    while size < needed and size * 2 <= available and not (attention_heads and attention_heads % (size * 2)):
        size *= 2
    fits = "fits" if size >= needed else "does not fit, the most that is possible"
    return TensorParallelPlan(
        size, f"{weight_bytes / 1e9:.1f} GB of weights on {device_memory_mb} MB devices: {fits}"
    )
