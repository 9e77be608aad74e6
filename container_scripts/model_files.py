"""Check a model's folder without loading it: shards against the index, tokenizer, configuration.

Belongs here: reading a folder and saying what is missing. Does not belong here: downloading.
"""

from __future__ import annotations

import glob
import json
import os
import re
from dataclasses import asdict, dataclass
from typing import Any, Dict, Iterable, List, Optional, Tuple

from container_scripts.distributions import digest_lines
from container_scripts.document import Document

WEIGHT_FORMATS = (".safetensors", ".bin", ".pt", ".gguf")
NOT_WEIGHTS = ("optimizer", "training_args", "scheduler", "rng_state")
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer.model.v3",
    "tekken.json",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
CHAT_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")
MAX_HEADER_BYTES = 100_000_000
MAX_JSON_BYTES = 64 << 20
"""The index of the largest published models has a few megabytes."""

_SHARD_NAME = re.compile(r"^(.*-)(\d{5})-of-(\d{5})(\.\w+)$", re.ASCII)
_EXPERT_KEYS = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts")
_CONFIG_KEYS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
)


@dataclass(frozen=True)
class Shards:
    """Weight files by name: those that belong to the model, and what is wrong with them."""

    expected: Tuple[str, ...]
    missing: Tuple[str, ...]
    empty: Tuple[str, ...]
    truncated: Tuple[str, ...]


def inspect_model(folder: str) -> Document:
    """Return the facts of a model's folder; ``error`` is one line naming the first bad file, or None."""
    files = list_files(folder)
    sizes = dict(files)
    shards = check_shards(folder, sizes)
    tokenizer = [name for name, _ in files if name in TOKENIZER_FILES or name.endswith(".tiktoken")]
    config, error = _read_config(folder)
    problem = error or _first_problem(folder, shards, bool(tokenizer))
    return {
        "files": [{"name": name, "bytes": size} for name, size in files],
        "total_bytes": sum(sizes.values()),
        "weight_bytes": sum(sizes.get(name, 0) for name in shards.expected),
        "shards": {key: list(names) for key, names in asdict(shards).items()},
        "tokenizer": {"present": bool(tokenizer), "files": tokenizer},
        "has_chat_template": _has_chat_template(folder),
        "config": describe_config(config),
        "digest": folder_digest(folder),
        "error": f"ModelFilesError: {problem}" if problem else None,
    }


def list_files(folder: str) -> List[Tuple[str, int]]:
    """Return (path relative to the folder, bytes) of every file, sorted; hidden files do not count."""
    found, seen = [], set()
    for base, folders, names in os.walk(folder, followlinks=True):
        facts = os.stat(base)
        if (facts.st_dev, facts.st_ino) in seen:  # a link back would be followed without end
            folders[:] = []
            continue
        seen.add((facts.st_dev, facts.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = os.path.join(base, name)
            if not name.startswith(".") and os.path.isfile(path):
                found.append((os.path.relpath(path, folder), os.path.getsize(path)))
    return sorted(found)


def folder_digest(folder: str) -> str:
    """Return a SHA-256 over names, sizes and modification times of a folder's files."""
    lines = []
    for name, size in list_files(folder):
        lines.append(f"{name} {size} {os.stat(os.path.join(folder, name)).st_mtime_ns}")
    return digest_lines(lines)


def check_shards(folder: str, sizes: Dict[str, int]) -> Shards:
    """Compare the weight files with the index, with the count in their names, and with their own headers.

    ``sizes`` is file name -> bytes. Of several formats the one a server would load counts.
    """
    expected = sorted(_expected_weights(folder, sizes))
    there = [name for name in expected if name in sizes]
    return Shards(
        expected=tuple(expected),
        missing=tuple(name for name in expected if name not in sizes),
        empty=tuple(name for name in there if sizes[name] == 0),
        truncated=tuple(name for name in there if sizes[name] and _is_truncated(folder, name, sizes[name])),
    )


def _expected_weights(folder: str, sizes: Dict[str, int]) -> Iterable[str]:
    indexes = sorted(glob.glob(os.path.join(glob.escape(folder), "*.index.json")))
    indexes.sort(key=lambda path: ".safetensors." not in path)
    for index in indexes:
        entries = _index_entries(index)
        if entries:
            return entries
    for suffix in WEIGHT_FORMATS:
        names = {name for name in sizes if name.endswith(suffix) and os.sep not in name}
        names = {name for name in names if not name.startswith(NOT_WEIGHTS)}
        merged = {name for name in names if not name.startswith("consolidated")}
        if names:
            return _complete_series(merged or names)
    return ()


def _index_entries(path: str) -> List[str]:
    index = _read_json(path)
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict):
        return []
    return sorted({str(name) for name in weight_map.values()})


def _complete_series(names: Iterable[str]) -> Iterable[str]:
    """Add the members that names like ``model-00001-of-00003`` promise."""
    complete = set(names)
    for match in filter(None, map(_SHARD_NAME.match, list(complete))):
        prefix, _, count, suffix = match.groups()
        complete.update(f"{prefix}{number:05d}-of-{count}{suffix}" for number in range(1, int(count) + 1))
    return complete


def _is_truncated(folder: str, name: str, size: int) -> bool:
    """Say whether a safetensors file is not as long as its header promises (or is only a pointer to it)."""
    if not name.endswith(".safetensors"):
        return False
    try:
        with open(os.path.join(folder, name), "rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            if length > min(size, MAX_HEADER_BYTES):
                return True
            header = json.loads(handle.read(length).decode("utf-8"))
        tensors = [entry for key, entry in header.items() if key != "__metadata__"]
        return bool(8 + length + max((int(entry["data_offsets"][1]) for entry in tensors), default=0) != size)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError):
        return True


def _first_problem(folder: str, shards: Shards, has_tokenizer: bool) -> Optional[str]:
    where = f"in {folder}"
    if not shards.expected:
        return f"no weight files ({', '.join(WEIGHT_FORMATS)}) {where}: download the model again"
    for names, what in (
        (shards.missing, "is missing"),
        (shards.empty, "is empty"),
        (shards.truncated, "is truncated (or only a pointer to the real file)"),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            return f"shard {names[0]}{more} {what} {where}: download the model again"
    if not has_tokenizer:
        return f"no tokenizer (such as tokenizer.json or tokenizer.model) {where}"
    return None


def _read_config(folder: str) -> Tuple[Dict[str, Any], Optional[str]]:
    path = os.path.join(folder, "config.json")
    if not os.path.isfile(path):
        return (
            {},
            f"config.json is missing in {folder}: this is no model folder, or the download is incomplete",
        )
    config = _read_json(path)
    return config, None if config else f"config.json in {folder} is not a JSON object of usual size and depth"


def _read_json(path: str) -> Dict[str, Any]:
    try:
        if os.path.getsize(path) > MAX_JSON_BYTES:
            return {}
        with open(path, encoding="utf-8") as handle:
            content = json.load(handle)
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _has_chat_template(folder: str) -> bool:
    if any(os.path.isfile(os.path.join(folder, name)) for name in CHAT_TEMPLATE_FILES):
        return True
    return bool(_read_json(os.path.join(folder, "tokenizer_config.json")).get("chat_template"))


def describe_config(config: Dict[str, Any]) -> Document:
    """Return the facts of a model's configuration; a multimodal model's come from its text part."""
    nested = config.get("text_config")
    text = {**config, **nested} if isinstance(nested, dict) else config
    quantization = config.get("quantization_config") or text.get("quantization_config")
    method = quantization.get("quant_method") if isinstance(quantization, dict) else None
    return {
        "architectures": config.get("architectures") or [],
        "model_type": config.get("model_type"),
        "dtype": text.get("dtype") or text.get("torch_dtype"),
        **{key: text.get(key) for key in _CONFIG_KEYS},
        "num_experts": next((text[key] for key in _EXPERT_KEYS if text.get(key) is not None), None),
        "quantization": method,
    }
