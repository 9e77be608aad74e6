"""Whose code a traceback frame or a missing module belongs to.

Belongs here: packages and their components, frames that only pass a call on.
Does not belong here: words of messages (error_signatures), the judgement (error_layers).
"""

from __future__ import annotations

import re
from typing import Optional, Sequence, Tuple

from container_scripts.error_vocabulary import FLAGCX, FLAGGEMS, FLAGTREE, MODEL, PLUGIN, TORCH, VLLM
from container_scripts.log_reading import Frame

_PACKAGES = {
    "flag_gems": FLAGGEMS,
    "flaggems": FLAGGEMS,
    "triton": FLAGTREE,
    "flagtree": FLAGTREE,
    "triton_ascend": FLAGTREE,
    "flagcx": FLAGCX,
    "vllm_fl": PLUGIN,
    "vllm_plugin_fl": PLUGIN,
    "vllm": VLLM,
    "vllm_ascend": VLLM,
    "vllm_metax": VLLM,
    "vllm_musa": VLLM,
    "vllm_flash_attn": VLLM,
    "flashinfer": VLLM,
    "flash_attn": VLLM,
    "xformers": VLLM,
    "deep_gemm": VLLM,
    "deep_ep": VLLM,
    "xgrammar": VLLM,
    "compressed_tensors": VLLM,
    "torch": TORCH,
    "torch_npu": TORCH,
    "torch_musa": TORCH,
    "torch_mlu": TORCH,
    "torch_gcu": TORCH,
    "torch_xmlir": TORCH,
    "torchvision": TORCH,
    "transformers": MODEL,
    "tokenizers": MODEL,
    "safetensors": MODEL,
}
_PASSES_ON = re.compile(r"(?:^|/)vllm/(?:_custom_ops|utils/import_utils|model_executor/custom_op)\.py$")
_KERNEL_COMPILER = re.compile(r"triton/(?:compiler|backends|_C|spec|language)/")
_INSTALLED = re.compile(r"^.*/(?:site|dist)-packages/")
_NAMED_MODULE = re.compile(
    r"(?:cannot import name \S+ from (?:partially initialized module )?|No module named |^module )"
    r"'?(?P<module>\w+)"
)
_MISSING_MODULE = re.compile(r"No module named '?(?P<module>\w+)'?(?:$|[\s;)])")


def owner_of_path(path: str) -> Optional[str]:
    """Return the component whose code lies at ``path``, or None (standard library, other packages)."""
    inside = _INSTALLED.sub("", path.replace("\\", "/"))
    parts = inside.split("/")
    if inside != path:
        parts = parts[:1]
    for part in parts:
        name = re.sub(r"[-.][\d.]+\S*$|\.py$|-source$", "", part).replace("-", "_").lower()
        if name in _PACKAGES:
            return _PACKAGES[name]
    return None


def relative_path(path: str) -> str:
    """Return ``path`` from the package on, without the place where it is installed."""
    parts = _INSTALLED.sub("", path.replace("\\", "/")).split("/")
    starts = [index for index, part in enumerate(parts) if part in _PACKAGES]
    return "/".join(parts[starts[0] :]) if starts else parts[-1]


def owner_of_frames(frames: Sequence[Frame]) -> Optional[str]:
    """Return the component of the innermost frame that decides.

    Standard library, torch and thin wrappers only carry a call on; torch is named when nobody else
    appears.
    """
    fallback: Optional[str] = None
    for frame in reversed(frames):
        owner = owner_of_path(frame.path)
        if owner is None or _PASSES_ON.search(frame.path):
            continue
        if owner != TORCH:
            return owner
        fallback = TORCH
    return fallback


def kernel_author(frames: Sequence[Frame]) -> Optional[str]:
    """Return the component that wrote the kernel which the Triton frames at the end compile or launch."""
    outside = [frame for frame in frames if owner_of_path(frame.path) != FLAGTREE]
    return owner_of_frames(outside)


def compiles_kernel(frames: Sequence[Frame]) -> bool:
    """Return whether a frame lies in Triton's compiler rather than in its launcher."""
    return any(_KERNEL_COMPILER.search(frame.path) for frame in frames)


def missing_component(message: str) -> Optional[Tuple[str, str]]:
    """Return (module, component) where the whole package of a component is what cannot be imported."""
    match = _MISSING_MODULE.search(message)
    owner = _PACKAGES.get(match["module"]) if match else None
    return (match["module"], owner) if match and owner else None


def named_component(message: str) -> Optional[str]:
    """Return the component whose module an import or attribute error names, or None."""
    match = _NAMED_MODULE.search(message)
    return _PACKAGES.get(match["module"]) if match else None
