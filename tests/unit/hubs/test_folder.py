"""Look-ups of plain folders, on a real file system."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from pathlib import Path

import pytest

from flagrelease_assets.hubs import folder
from flagrelease_assets.hubs.base import ModelReference, ModelSource, ModelVersionFacts
from flagrelease_assets.hubs.problem import LookupProblem
from tests.doubles.hub_double import SMALL_CONFIG
from tests.unit.hubs.asking import Asking


@pytest.fixture
def model(tmp_path: Path) -> Path:
    root = tmp_path / "model"
    (root / "tokenizer").mkdir(parents=True)
    (root / "config.json").write_text(json.dumps(SMALL_CONFIG))
    (root / "model.safetensors").write_bytes(b"x" * 1000)
    (root / "tokenizer" / "vocab.json").write_text("{}")
    return root


def test_a_folder_is_described_in_full(asking: Asking, model: Path) -> None:
    facts = asking.facts("folder", path=str(model))
    assert [file.name for file in facts.files] == ["config.json", "model.safetensors", "tokenizer/vocab.json"]
    assert facts.total_bytes == len(json.dumps(SMALL_CONFIG)) + 1002
    assert facts.config is not None and facts.config.context_length == 40960
    assert facts.last_modified is not None


def test_the_revision_is_stable_and_follows_names_sizes_and_times(asking: Asking, model: Path) -> None:
    weights = model / "model.safetensors"
    os.utime(weights, (1_770_000_000, 1_770_000_000))
    seen = [asking.facts("folder", path=str(model)).revision]
    assert asking.facts("folder", path=str(model)).revision == seen[0]
    os.utime(weights, (1_770_000_001, 1_770_000_001))
    seen.append(asking.facts("folder", path=str(model)).revision)
    weights.rename(model / "renamed.safetensors")
    seen.append(asking.facts("folder", path=str(model)).revision)
    (model / "renamed.safetensors").write_bytes(b"x" * 1001)
    os.utime(model / "renamed.safetensors", (1_770_000_001, 1_770_000_001))
    seen.append(asking.facts("folder", path=str(model)).revision)
    assert len(set(seen)) == 4


def test_files_of_download_tools_are_not_part_of_the_model(asking: Asking, model: Path) -> None:
    before = asking.facts("folder", path=str(model))
    (model / ".cache" / "huggingface").mkdir(parents=True)
    (model / ".cache" / "huggingface" / "x.metadata").write_text("1")
    (model / ".gitattributes").write_text("*")
    assert asking.facts("folder", path=str(model)) == before


def test_a_link_to_a_blob_counts_with_the_size_of_the_blob(
    asking: Asking, model: Path, tmp_path: Path
) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(b"x" * 77)
    (model / "linked.bin").symlink_to(blob)
    sizes = {file.name: file.bytes for file in asking.facts("folder", path=str(model)).files}
    assert sizes["linked.bin"] == 77


def test_a_folder_that_only_the_worker_has_is_deferred_with_what_to_do(
    asking: Asking, tmp_path: Path
) -> None:
    reason = asking.deferred("folder", path=str(tmp_path / "elsewhere")).reason
    assert "not visible from this host" in reason and "mount it" in reason


def test_a_broken_link_is_a_broken_model(asking: Asking, model: Path) -> None:
    (model / "shard.safetensors").symlink_to(model / "gone")
    assert "FileNotFoundError" in asking.deferred("folder", path=str(model)).reason


def test_an_empty_folder_is_no_model(asking: Asking, tmp_path: Path) -> None:
    assert "no files" in asking.deferred("folder", path=str(tmp_path)).reason


def test_a_folder_without_config_has_no_config_facts(asking: Asking, model: Path) -> None:
    (model / "config.json").unlink()
    assert asking.facts("folder", path=str(model)).config is None


def test_a_config_that_is_no_config_is_deferred(asking: Asking, model: Path) -> None:
    (model / "config.json").write_text("<html>")
    assert "not valid JSON" in asking.deferred("folder", path=str(model)).reason
    asking.change(max_body_bytes=100)
    (model / "config.json").write_bytes(b" " * 101)
    assert "larger than" in asking.deferred("folder", path=str(model)).reason


def test_a_folder_with_far_too_many_files_is_not_listed_to_its_end(
    asking: Asking, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "MAX_FILES", 2)
    assert "more than 2 files" in asking.deferred("folder", path=str(model)).reason


def test_listing_stops_at_the_deadline(model: Path) -> None:
    source = folder.FolderSource(deadline=time.monotonic() - 1, max_config_bytes=1000)
    reference = ModelReference(id="org/model", source=ModelSource.FOLDER, path=str(model))
    with pytest.raises(LookupProblem, match="within the deadline"):
        source.read(reference)


def test_a_pipe_is_no_file_of_a_model_and_is_not_waited_for(asking: Asking, model: Path) -> None:
    before = asking.facts("folder", path=str(model))
    os.mkfifo(model / "pipe")
    assert asking.facts("folder", path=str(model)) == before


class HangingMountDouble(folder.FolderSource):
    """A folder on a network mount that went away: its reader never returns."""

    def read(self, reference: ModelReference) -> ModelVersionFacts:
        threading.Event().wait()
        return super().read(reference)


def test_a_mount_that_never_answers_holds_up_neither_the_look_up_nor_the_end_of_the_loop(model: Path) -> None:
    source = HangingMountDouble(deadline=time.monotonic() + 60, max_config_bytes=1000)
    reference = ModelReference(id="org/model", source=ModelSource.FOLDER, path=str(model))
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(source.look_up(reference, None), timeout=0.1))
