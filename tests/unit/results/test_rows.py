"""Rows are derived: whatever becomes of their file, a reader gets a row for every result that is stored."""

from __future__ import annotations

import multiprocessing
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flagrelease_assets.contracts import BenchmarkMetrics, InstallStatus
from flagrelease_assets.contracts.common import Status
from flagrelease_assets.results.index import ROWS, ROWS_VERSION
from flagrelease_assets.results.rows import row_of
from flagrelease_assets.results.store import ResultStore

CELL = ("benchmark_metrics", "cpu", "org--toy")
START = datetime(2026, 1, 1, tzinfo=UTC)
WRITERS, RESULTS_EACH = 2, 12


def benchmark(run_id: str, day: int = 0, tok_s: float = 100.0) -> BenchmarkMetrics:
    profile = {
        "name": "p", "input_len": 8, "output_len": 4, "num_prompts": 2, "status": "PASS",
        "metrics": {"throughput_tok_s": tok_s, "ttft_mean_ms": None},
    }  # fmt: skip
    return BenchmarkMetrics.model_validate(
        {
            "status": "PASS", "vendor": CELL[1], "model": CELL[2], "run_id": run_id, "stack": "full",
            "created_at": START + timedelta(days=day),
            "performance": {"status": "PASS", "profiles_passed": "1/1", "profiles": [profile]},
        }
    )  # fmt: skip


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ResultStore:
    if request.param == "memory":
        return ResultStore(f"memory://rows-{uuid.uuid4().hex}/results")
    return ResultStore(str(tmp_path / "results"))


def runs(store: ResultStore) -> list[str]:
    return [row.run_id for row in store.rows(*CELL).rows]


def test_a_row_says_what_was_measured_and_leaves_out_what_was_not() -> None:
    row = row_of(benchmark("one", tok_s=42.0))
    assert row.profiles == {"p": {"throughput_tok_s": 42.0}}
    assert row.sizes == {"p": "8/4/2"}
    assert row.throughput_tok_s == 42.0
    assert row.recommended_stack == "full"


def test_figures_of_a_profile_that_failed_are_of_the_requests_it_did_not_lose_and_stay_out() -> None:
    document = benchmark("one", tok_s=42.0)
    failed = document.performance.profiles[0].model_copy(
        update={"name": "lossy", "status": "FAIL", "metrics": {"throughput_tok_s": 99.0}}
    )
    document.performance.profiles.append(failed)
    row = row_of(document)
    assert (row.throughput_tok_s, list(row.profiles)) == (42.0, ["p"])


def test_rows_come_oldest_measurement_first_whatever_the_order_of_writing(store: ResultStore) -> None:
    for run, day in (("late", 3), ("early", 1), ("middle", 2)):
        store.put(benchmark(run, day))
    assert runs(store) == ["early", "middle", "late"]
    assert store.newest_row(*CELL) == store.rows(*CELL).rows[-1]


def test_a_store_without_rows_gets_them_from_its_documents(store: ResultStore) -> None:
    store.put(benchmark("one"))
    store.put(benchmark("two", 1))
    (store.folder(*CELL) / ROWS).unlink()
    assert runs(store) == ["one", "two"]
    assert (store.folder(*CELL) / ROWS).exists()


def test_rows_of_another_version_are_made_again(store: ResultStore) -> None:
    store.put(benchmark("one"))
    file = store.folder(*CELL) / ROWS
    old = file.read_text().replace(f'"version":{ROWS_VERSION}', '"version":0')
    file.write_text(old.replace("100.0", "1.0"))
    (row,) = store.rows(*CELL).rows
    assert row.throughput_tok_s == 100.0


@pytest.mark.parametrize("content", ["", "[{", '{"no": "list"}', '[{"step": 1}]', "\0" * 40])
def test_a_broken_rows_file_costs_nothing(store: ResultStore, content: str) -> None:
    store.put(benchmark("one"))
    (store.folder(*CELL) / ROWS).write_text(content)
    assert runs(store) == ["one"]
    store.put(benchmark("two", 1))
    assert runs(store) == ["one", "two"]


def test_a_row_whose_document_was_removed_is_no_result(store: ResultStore) -> None:
    store.put(benchmark("one"))
    store.put(benchmark("two", 1))
    (store.folder(*CELL) / "one.json").unlink()
    assert runs(store) == ["two"]


def test_an_unreadable_result_is_named_and_kept_and_the_others_are_there(store: ResultStore) -> None:
    store.put(benchmark("good"))
    broken = store.folder(*CELL) / "broken.json"
    broken.write_text("{")
    newer = store.folder(*CELL) / "newer.json"
    newer.write_text(
        benchmark("newer").model_dump_json().replace('"schema_version":1', '"schema_version":99')
    )
    found = store.rows(*CELL)
    assert [row.run_id for row in found.rows] == ["good"]
    assert sorted(error.path.name for error in found.unreadable) == ["broken.json", "newer.json"]
    assert any("newer flagrelease" in str(error) for error in found.unreadable)
    history = store.history(*CELL)
    assert [document.run_id for document in history.documents] == ["good"]
    assert len(history.unreadable) == 2
    assert broken.exists() and newer.exists()


def test_a_folder_in_the_place_of_a_result_is_unreadable_not_a_crash(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    store.put(benchmark("good"))
    (Path(str(store.folder(*CELL))) / "folder.json").mkdir()
    found = store.rows(*CELL)
    assert [row.run_id for row in found.rows] == ["good"]
    assert len(found.unreadable) == 1


def test_a_clock_in_the_future_only_moves_a_result_to_the_end(store: ResultStore) -> None:
    store.put(benchmark("future", 40_000))
    store.put(benchmark("now"))
    assert runs(store) == ["now", "future"]


def _write_many(base: str, writer: int) -> None:
    store = ResultStore(base)
    for number in range(RESULTS_EACH):
        store.put(benchmark(f"w{writer}-{number}", number))


def test_two_processes_that_write_one_cell_lose_no_result_and_rows_heal(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(str(tmp_path), n)) for n in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    store = ResultStore(str(tmp_path))
    expected = {f"w{writer}-{number}" for writer in range(WRITERS) for number in range(RESULTS_EACH)}
    assert set(runs(store)) == expected
    assert {document.run_id for document in store.history(*CELL).documents} == expected
    latest = store.latest(*CELL)
    assert latest is not None and latest.run_id in expected
    assert not [path for path in Path(str(store.folder(*CELL))).iterdir() if path.name.endswith(".part")]


def test_rows_of_all_cells_are_had_by_step_and_may_be_narrowed(store: ResultStore) -> None:
    for vendor, model in (("cpu", "a"), ("cpu", "b"), ("nvidia", "a")):
        store.put(benchmark("r").model_copy(update={"vendor": vendor, "model": model}))
    assert [cell for cell, _ in store.all_rows(CELL[0])] == [("cpu", "a"), ("cpu", "b"), ("nvidia", "a")]
    assert [cell for cell, _ in store.all_rows(CELL[0], vendor="cpu")] == [("cpu", "a"), ("cpu", "b")]
    assert [cell for cell, _ in store.all_rows(CELL[0], model="a")] == [("cpu", "a"), ("nvidia", "a")]


def test_an_install_row_names_the_packages_that_are_there() -> None:
    document = InstallStatus.model_validate(
        {
            "vendor": "cpu", "model": "m", "run_id": "r", "status": "PASS", "created_at": START,
            "stack_release": "s", "packages": {
                "vllm": {"status": "PASS", "version": "0.32.0"}, "flagcx": {"status": "SKIPPED"},
            },
        }
    )  # fmt: skip
    row = row_of(document)
    assert row.packages == {"vllm": "0.32.0"}
    assert (row.stack_release, row.status) == ("s", Status.PASS)
