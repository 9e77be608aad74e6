"""A model folder is checked file by file before anything tries to load it."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from container_scripts.model_files import describe_config, inspect_model
from container_scripts.prepare_model import ModelNotReadyError, choose_source, target_folder

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16"}


def safetensors(size: int) -> bytes:
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "tokenizer.json").write_text("{}")
    shards = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    for shard in shards:
        (tmp_path / shard).write_bytes(safetensors(100))
    index = {"weight_map": {f"layer{number}": shard for number, shard in enumerate(shards)}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    return tmp_path


def test_a_complete_folder_has_no_error(folder: Path) -> None:
    facts = inspect_model(str(folder))
    assert facts["error"] is None
    assert facts["weight_bytes"] == 3 * len(safetensors(100))
    assert facts["shards"]["missing"] == []
    assert facts["has_chat_template"] is False


@pytest.mark.parametrize("index_there", [True, False])
def test_a_shard_that_was_not_downloaded_is_named(folder: Path, index_there: bool) -> None:
    missing = "model-00003-of-00003.safetensors"
    (folder / missing).unlink()
    if not index_there:
        (folder / "model.safetensors.index.json").unlink()
    facts = inspect_model(str(folder))
    assert facts["shards"]["missing"] == [missing]
    assert f"{missing} is missing" in facts["error"]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (safetensors(100)[:-1], "truncated"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer"),
    ],
)
def test_a_shard_without_its_content_is_named(folder: Path, content: bytes, word: str) -> None:
    shard = "model-00002-of-00003.safetensors"
    (folder / shard).write_bytes(content)
    error = inspect_model(str(folder))["error"]
    assert shard in error
    assert word in error
    assert "\n" not in error


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_folder_without_configuration_or_tokenizer_is_no_model(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert name in inspect_model(str(folder))["error"]


def test_a_folder_without_weights_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "tokenizer.json").write_text("{}")
    assert "no weight files" in inspect_model(str(tmp_path))["error"]


def test_optimizer_state_is_no_weight(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"12345")
    (tmp_path / "optimizer.bin").write_bytes(b"1" * 100)
    assert inspect_model(str(tmp_path))["weight_bytes"] == 5


def test_a_changed_file_changes_the_digest(folder: Path) -> None:
    before = inspect_model(str(folder))["digest"]
    (folder / "tokenizer.json").write_text("{ }")
    assert inspect_model(str(folder))["digest"] != before


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (CONFIG, {"dtype": "bfloat16", "num_experts": None, "quantization": None}),
        (
            {"n_routed_experts": 64, "quantization_config": {"quant_method": "fp8"}},
            {"num_experts": 64, "quantization": "fp8"},
        ),
        ({"text_config": {"dtype": "float16", "hidden_size": 8}}, {"dtype": "float16", "hidden_size": 8}),
    ],
)
def test_configuration_facts_are_found_where_model_families_put_them(
    config: dict[str, Any], expected: dict[str, Any]
) -> None:
    facts = describe_config(config)
    assert {key: facts[key] for key in expected} == expected


def test_what_exists_is_a_folder_and_org_name_is_a_hub_id(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_source(str(folder), None) == "folder"
    assert choose_source("Qwen/Qwen3-0.6B", None) == "huggingface"
    assert choose_source("Qwen/Qwen3-0.6B", "modelscope") == "modelscope"
    monkeypatch.chdir(folder.parent)
    assert choose_source(f"./{folder.name}", None) == "folder"


@pytest.mark.parametrize(
    "model", ["/org/model", "~/no-such-folder", "C:\\model", "name", "./org/name", "a/b/c"]
)
def test_what_is_neither_folder_nor_hub_id_is_an_error(model: str) -> None:
    with pytest.raises(ModelNotReadyError, match="neither a folder"):
        choose_source(model, None)


def test_models_of_equal_name_do_not_share_a_folder() -> None:
    folders = {target_folder("/m", model, revision) for model in ("a/Q", "b/Q") for revision in ("1", "2")}
    assert len(folders) == 4
