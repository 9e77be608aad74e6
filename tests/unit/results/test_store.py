"""The result store: history and look-ups, whole files only, and no way out of its folder."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flagrelease_assets.contracts import InstallStatus
from flagrelease_assets.contracts.common import Status, StepDocument
from flagrelease_assets.results.store import LATEST, MAX_DOCUMENT_BYTES, ResultStore, StoredResultError

STEP, VENDOR, MODEL = "install_status", "cpu", "org--toy"


def document(run_id: str, status: str = "PASS", **fields: Any) -> InstallStatus:
    return InstallStatus.model_validate(
        {
            "vendor": VENDOR,
            "model": MODEL,
            "run_id": run_id,
            "status": status,
            "created_at": datetime(2026, 1, 2, tzinfo=UTC),
            **fields,
        }
    )


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ResultStore:
    if request.param == "memory":
        return ResultStore(f"memory://flagrelease-{uuid.uuid4().hex}/results")
    return ResultStore(str(tmp_path / "results"))


@pytest.fixture
def local(tmp_path: Path) -> ResultStore:
    return ResultStore(str(tmp_path / "results"))


def run_of(found: StepDocument | None) -> str | None:
    return found.run_id if found else None


def test_an_empty_store_has_nothing(store: ResultStore) -> None:
    assert store.latest(STEP, VENDOR, MODEL) is None
    assert store.latest_pass(STEP, VENDOR, MODEL) is None
    assert store.pass_with_fingerprint(STEP, VENDOR, "f") is None
    assert list(store.cells(STEP)) == []


def test_every_run_is_kept_and_latest_is_the_newest(store: ResultStore) -> None:
    for run in ("one", "two"):
        store.put(document(run))
    assert run_of(store.latest(STEP, VENDOR, MODEL)) == "two"
    assert run_of(store.of_run(STEP, VENDOR, MODEL, "one")) == "one"
    assert store.of_run(STEP, VENDOR, MODEL, "three") is None


def test_a_document_comes_back_equal(store: ResultStore) -> None:
    written = document("one", reason="not applicable: München")
    store.put(written)
    assert store.latest(STEP, VENDOR, MODEL) == written


def test_a_failure_is_latest_but_never_the_latest_pass(store: ResultStore) -> None:
    store.put(document("good", fingerprint="f"))
    store.put(document("bad", "FAIL", fingerprint="f"))
    assert run_of(store.latest(STEP, VENDOR, MODEL)) == "bad"
    assert run_of(store.latest_pass(STEP, VENDOR, MODEL)) == "good"
    assert run_of(store.pass_with_fingerprint(STEP, VENDOR, "f")) == "good"


@pytest.mark.parametrize("status", ["PARTIAL", "FAIL", "SKIPPED", "BLOCKED"])
def test_only_a_pass_can_be_found_by_its_fingerprint(store: ResultStore, status: str) -> None:
    store.put(document("one", status, fingerprint="f"))
    assert store.pass_with_fingerprint(STEP, VENDOR, "f") is None


def test_a_fingerprint_is_found_whichever_model_it_was_measured_for(store: ResultStore) -> None:
    store.put(document("one", model="org--other", fingerprint="f"))
    assert run_of(store.pass_with_fingerprint(STEP, VENDOR, "f")) == "one"
    assert store.pass_with_fingerprint(STEP, "nvidia", "f") is None


def test_cells_are_the_vendors_and_models_with_results_and_stray_files_are_none(store: ResultStore) -> None:
    store.put(document("one"))
    store.put(document("two", vendor="nvidia"))
    store.put_text(f"{STEP}/.DS_Store", "stray")
    assert list(store.cells(STEP)) == [("cpu", MODEL), ("nvidia", MODEL)]


@pytest.mark.parametrize("trick", [".", "..", "../up", "a/b", "a\\b", "/etc", "a\0b"])
@pytest.mark.parametrize("field", ["vendor", "model", "run_id", "fingerprint"])
def test_a_name_that_leads_elsewhere_is_refused_and_writes_nothing_outside(
    local: ResultStore, tmp_path: Path, field: str, trick: str
) -> None:
    with pytest.raises(ValueError, match="cannot be part of a result's path"):
        local.put(document("one").model_copy(update={field: trick}))
    outside = [path for path in tmp_path.rglob("*") if not str(path).startswith(local.base)]
    assert outside == []


def test_a_kill_in_the_middle_of_writing_leaves_the_old_file_whole(
    local: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.put(document("one"))

    def killed(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        local.put(document("two"))
    folder = Path(str(local.folder(STEP, VENDOR, MODEL)))
    assert run_of(local.latest(STEP, VENDOR, MODEL)) == "one"
    assert {path.name for path in folder.iterdir()} == {"one.json", LATEST, "latest_pass.json", "rows.json"}


def test_history_is_written_before_latest_so_that_no_latest_lacks_its_run(
    local: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    replace = Path.replace

    def record(path: Path, target: Path) -> Path:
        written.append(Path(target).name)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", record)
    local.put(document("one", fingerprint="f"))
    assert written == ["one.json", LATEST, "latest_pass.json", "f.json", "rows.json"]


CORRUPT = {
    "empty": ("", "Invalid JSON"),
    "truncated": ('{"step": "install_st', "Invalid JSON"),
    "no object": ("[1, 2]", "not a InstallStatus: (top)"),
    "another step's": ('{"step": "run_a_result"}', "step: Input should be 'install_status'"),
}


@pytest.mark.parametrize(("content", "reason"), CORRUPT.values(), ids=CORRUPT.keys())
def test_a_corrupt_file_is_named_with_its_reason_and_kept(
    store: ResultStore, content: str, reason: str
) -> None:
    file = store.put_text(f"{STEP}/{VENDOR}/{MODEL}/{LATEST}", content)
    with pytest.raises(StoredResultError) as caught:
        store.latest(STEP, VENDOR, MODEL)
    assert str(caught.value).startswith(f"{file}: ")
    assert reason in str(caught.value)
    assert file.read_text() == content


def test_bytes_that_are_no_text_are_a_stored_result_error(local: ResultStore) -> None:
    Path(str(local.put_text(f"{STEP}/{VENDOR}/{MODEL}/{LATEST}", ""))).write_bytes(b"\xff\xfe")
    with pytest.raises(StoredResultError, match="utf-8"):
        local.latest(STEP, VENDOR, MODEL)


def test_a_document_of_a_newer_version_says_so_instead_of_naming_a_strange_key(store: ResultStore) -> None:
    newer = {**document("one").model_dump(mode="json"), "schema_version": 2, "strange": 1}
    store.put_text(f"{STEP}/{VENDOR}/{MODEL}/{LATEST}", json.dumps(newer))
    with pytest.raises(StoredResultError, match=r"written by a newer flagrelease \(version 2"):
        store.latest(STEP, VENDOR, MODEL)


def test_a_file_over_the_limit_is_refused_unread(local: ResultStore) -> None:
    file = Path(str(local.put_text(f"{STEP}/{VENDOR}/{MODEL}/{LATEST}", "{")))
    with file.open("ab") as handle:
        handle.truncate(MAX_DOCUMENT_BYTES + 10_000_000)
    with pytest.raises(StoredResultError, match="larger than"):
        local.latest(STEP, VENDOR, MODEL)


def test_a_file_put_aside_is_kept_and_no_longer_found(store: ResultStore) -> None:
    store.put_text(f"{STEP}/{VENDOR}/{MODEL}/{LATEST}", "broken")
    with pytest.raises(StoredResultError) as caught:
        store.latest(STEP, VENDOR, MODEL)
    kept = store.put_aside(caught.value)
    assert kept.read_text() == "broken"
    assert store.latest(STEP, VENDOR, MODEL) is None
    store.put(document("one", Status.PASS))
    assert kept.read_text() == "broken"
