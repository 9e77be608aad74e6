"""Comparing results: what changed is named, unlike is never compared silently, good news is found again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_scripts.server_config import effective_config
from flagrelease_assets.contracts.common import Status
from flagrelease_assets.reporting.comparisons import sparkline
from flagrelease_assets.results.comparison import changed_inputs, compare_rows, last_good, last_good_record
from flagrelease_assets.results.history import METRIC_COLUMNS, metrics_frame, results_frame
from flagrelease_assets.results.releases import NothingToCompareError, release_pair, releases
from flagrelease_assets.results.rows import ResultRow, row_of
from flagrelease_assets.results.store import ResultStore
from tests.unit.reporting.factories import report
from tests.unit.results.test_rows import CELL, START, benchmark

DAY = timedelta(days=1)


def row(run: str = "r", day: int = 0, status: Status = Status.PASS, **fields: Any) -> ResultRow:
    return ResultRow(
        step="release_report", vendor="cpu", model="org--toy", run_id=run, created_at=START + day * DAY,
        status=status, **fields,
    )  # fmt: skip


def test_every_input_that_changed_is_named_with_both_values() -> None:
    before = row(image="a", stack_release="s1", packages={"vllm": "1", "flagcx": "2"}, model_revision="x")
    after = row(image="b", stack_release="s1", packages={"vllm": "3"}, model_revision="x")
    assert [str(change) for change in changed_inputs(before, after)] == [
        "image from a to b",
        "flagcx from 2 to none",
        "vllm from 1 to 3",
    ]
    assert changed_inputs(before, before) == []


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"model_revision": "new"}, "revisions old and new"),
        ({"recommended_stack": "base"}, "stacks full and base"),
        ({"execution": "eager"}, "execution modes graphs and eager"),
        ({"sizes": {"p": "8/4/100"}}, "p: sizes 8/4/2 and 8/4/100"),
        ({"tensor_parallel_size": 8}, "tensor parallel sizes 1 and 8"),
    ],
)
def test_unlike_results_say_so(fields: dict[str, Any], reason: str) -> None:
    same: dict[str, Any] = {
        "model_revision": "old", "recommended_stack": "full", "execution": "graphs", "sizes": {"p": "8/4/2"},
        "tensor_parallel_size": 1,
    }  # fmt: skip
    found = compare_rows(row(**same), row(**{**same, **fields})).not_alike
    assert len(found) == 1
    assert reason in found[0]
    assert compare_rows(row(**same), row(**same)).not_alike == []


def test_the_mode_is_read_from_the_configuration_that_the_engine_reported() -> None:
    def measured(log: str) -> ResultRow:
        document = benchmark("one")
        document.performance.server = {"effective_config": effective_config(log)}
        return row_of(document)

    eager, graphs, unknown = measured("enforce_eager=True"), measured("enforce_eager=False"), measured("")
    assert compare_rows(eager, graphs).not_alike == ["execution modes eager and graphs"]
    assert compare_rows(unknown, graphs).not_alike == []


def test_figures_stand_side_by_side_and_a_missing_one_is_no_change_of_zero() -> None:
    before = row(profiles={"p": {"throughput_tok_s": 100.0}, "gone": {"throughput_tok_s": 1.0}})
    after = row(profiles={"p": {"throughput_tok_s": 90.0, "ttft_mean_ms": 5.0}})
    changes = {(item.profile, item.metric): item for item in compare_rows(before, after).metrics}
    assert changes["p", "throughput_tok_s"].change_percent == pytest.approx(-10.0)
    assert changes["p", "ttft_mean_ms"].change_percent is None
    assert changes["gone", "throughput_tok_s"].after is None


def test_the_last_good_release_is_the_newest_pass_and_a_partial_only_where_nothing_passed() -> None:
    rows = [row("a", 0), row("b", 1), row("c", 2, Status.PARTIAL), row("d", 3, Status.FAIL)]
    good = last_good(rows)
    assert good is not None and good.run_id == "b"
    partial = last_good(rows[2:])
    assert partial is not None and partial.run_id == "c"
    assert last_good(rows[3:]) is None


def test_the_record_of_the_last_good_release_says_what_changed_since() -> None:
    now = row("now", 5, Status.FAIL, stack_release="s2", image="i")
    record = last_good_record([row("good", 1, stack_release="s1", image="i"), now], now)
    assert record is not None
    assert str(record).startswith("last good on 2026-01-02 00:00 UTC, by run good (PASS")
    assert str(record).endswith("since then these inputs changed: stack release from s1 to s2")
    same = last_good_record([row("good", 1, stack_release="s2", image="i")], now)
    assert str(same).endswith("no known input changed since")
    assert last_good_record([now], now) is None


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> ResultStore:
    made = ResultStore(str(tmp_path_factory.mktemp("results")))
    for number, status in enumerate(("PASS", "PASS", "FAIL")):
        document = report().model_copy(
            update={
                "vendor": "cpu", "model": "org--toy", "run_id": f"run-{number}", "status": Status(status),
                "created_at": datetime(2026, 2, 1 + number, tzinfo=UTC),
            }
        )  # fmt: skip
        made.put(document)
    return made


def test_a_release_is_held_against_the_last_pass_before_it(store: ResultStore) -> None:
    before, after = release_pair(store, "cpu", "org--toy", None, "last-pass")
    assert (before.run_id, after.run_id) == ("run-1", "run-2")
    before, after = release_pair(store, "cpu", "org--toy", "run-1", "last-pass")
    assert (before.run_id, after.run_id) == ("run-0", "run-1")
    before, after = release_pair(store, "cpu", "org--toy", "run-2", "run-0")
    assert (before.run_id, after.run_id) == ("run-0", "run-2")


@pytest.mark.parametrize(
    ("run", "against", "said"),
    [
        ("run-0", "last-pass", "has no PASS before run run-0"),
        ("nowhere", "last-pass", "no run of org--toy on cpu begin with 'nowhere'"),
        (None, "run-", "several runs"),
    ],
)
def test_what_cannot_be_compared_says_what_there_is(
    store: ResultStore, run: str | None, against: str, said: str
) -> None:
    with pytest.raises(NothingToCompareError, match=said):
        release_pair(store, "cpu", "org--toy", run, against)
    with pytest.raises(NothingToCompareError, match="never released"):
        releases(store, "nvidia", "org--toy")


def test_frames_hold_every_result_and_every_metric_of_new_measurements(store: ResultStore) -> None:
    for number in range(3):
        store.put(benchmark(f"b{number}", number, 100.0 + number))
    store.put(benchmark("again", 9).model_copy(update={"reused_from_run": "b2"}))
    results = results_frame(store, CELL[0])
    assert list(results["run_id"]) == ["b0", "b1", "b2", "again"]
    assert set(results["status"]) == {"PASS"}
    metrics = metrics_frame(store)
    assert list(metrics.columns) == list(METRIC_COLUMNS)
    assert list(metrics["value"]) == [100.0, 101.0, 102.0], "a reused result is no new measurement"
    assert set(metrics["stack"]) == {"full"}
    assert list(metrics_frame(store, since=START + DAY)["run_id"]) == ["b1", "b2"]
    assert metrics_frame(store, vendor="nvidia").empty
    assert list(results_frame(store, "release_report", model="org--toy")["run_id"]) == [
        "run-0",
        "run-1",
        "run-2",
    ]


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, width=32))))
def test_a_sparkline_has_a_mark_for_every_value_and_never_raises(values: list[float | None]) -> None:
    line = sparkline(values)
    assert len(line) == (len(values) if any(value is not None for value in values) else 0)
