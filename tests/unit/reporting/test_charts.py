from __future__ import annotations

from flagrelease_assets.reporting.charts import performance_charts
from tests.unit.reporting import factories


def test_longest_bar_fills_the_chart_and_the_others_are_in_proportion() -> None:
    throughput = performance_charts({"full": factories.performance().profiles})[0]
    shares = {group.label: group.bars[0].share for group in throughput.groups}
    assert shares["high_concurrency"] == 100
    assert shares["short_prefill_short_decode"] == round(2355.2 / 4966.4 * 100, 2)


def test_p99_is_on_the_same_scale_as_the_mean() -> None:
    ttft = performance_charts({"full": factories.performance().profiles})[1]
    bar = ttft.groups[-1].bars[0]
    assert (bar.share, bar.far_share) == (round(803 / 3920 * 100, 2), 100)


def test_profile_without_a_figure_keeps_its_row_and_shows_its_status() -> None:
    profiles = [
        factories.profile("short_prefill_short_decode"),
        factories.profile("high_concurrency", status="FAIL", metrics={"throughput_tok_s": float("nan")}),
    ]
    chart = performance_charts({"full": profiles})[0]
    assert [(bar.text, bar.share) for bar in chart.groups[1].bars] == [("FAIL", None)]


def test_metric_that_nothing_measured_has_no_chart() -> None:
    only = factories.profile("high_concurrency", metrics={"throughput_tok_s": 5.0})
    assert [chart.title for chart in performance_charts({"full": [only]})] == ["Output throughput"]
    assert performance_charts({"full": []}) == []
