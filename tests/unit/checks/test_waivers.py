"""Waivers: what they accept, what they never accept, and what is said of those that accept nothing."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from flagrelease_assets.contracts import EnvVerification, InstallStatus
from flagrelease_assets.contracts.benchmark import BenchmarkDoubt, DoubtKind
from flagrelease_assets.contracts.checks import Finding
from flagrelease_assets.contracts.common import Component, Status
from flagrelease_assets.contracts.install import PackageResult
from flagrelease_assets.deployment import Waiver
from flagrelease_assets.verdict import release_verdict
from flagrelease_assets.waivers import weigh
from tests.unit.test_verdict import COMMON, documents, error, run

TODAY = date(2026, 6, 15)


def waiver(**changes: Any) -> Waiver:
    values = {"vendor": "nvidia", "model": "*", "reason": "known, ticket 7", "expires": date(2026, 6, 30)}
    return Waiver.model_validate({**values, **changes})


def finding(check: str = "regression", *components: Component, **changes: Any) -> Finding:
    return Finding(check=check, text=f"{check} found something", components=list(components), **changes)


def test_a_waiver_of_a_check_accepts_its_findings_and_no_others() -> None:
    found = [finding(), finding("output_drift")]
    weighed = weigh(found, [waiver(check="regression")], TODAY)
    assert weighed.remaining == found[1:]
    [waived] = weighed.waived
    assert (waived.text, waived.reason) == ("regression found something", "known, ticket 7")
    assert waived.expires == date(2026, 6, 30)
    assert weighed.said == []


def test_a_waiver_of_a_component_accepts_what_is_about_it_alone() -> None:
    both = finding("install_status", "FlagGems", "FlagCX")
    only_one = waiver(component="FlagGems")
    assert weigh([both], [only_one], TODAY).remaining == [both]
    assert weigh([both], [only_one, waiver(component="FlagCX")], TODAY).remaining == []
    assert weigh([finding("run_b_result")], [only_one], TODAY).waived == [], "no component is named"


def test_a_waiver_of_a_component_in_a_check_needs_both() -> None:
    narrow = waiver(check="run_b_result", component="FlagGems")
    assert weigh([finding("run_b_result", "FlagGems")], [narrow], TODAY).waived
    assert not weigh([finding("run_a_result", "FlagGems")], [narrow], TODAY).waived
    assert not weigh([finding("run_b_result", "FlagCX")], [narrow], TODAY).waived


def test_a_waiver_counts_on_its_last_day_and_no_longer() -> None:
    last = waiver(check="regression", expires=TODAY)
    assert weigh([finding()], [last], TODAY).waived
    late = weigh([finding()], [last], date(2026, 6, 16))
    assert late.remaining == [finding()]
    assert late.said == [
        "the waiver of regression (known, ticket 7) expired on 2026-06-15: it counts no more"
    ]


def test_a_waiver_that_matched_nothing_is_said_to_be_unused() -> None:
    assert weigh([], [waiver(component="FlagGems")], TODAY).said == [
        "the waiver of every finding through FlagGems (known, ticket 7) matched nothing: it can be removed"
    ]


def test_missing_evidence_cannot_be_accepted() -> None:
    missing = finding("benchmark_metrics", waivable=False)
    assert weigh([missing], [waiver(check="benchmark_metrics")], TODAY).remaining == [missing]


def verdict_of(waivers: list[Waiver], *alerts: Finding, **changes: Any) -> Any:
    return release_verdict(documents(**changes), alerts=alerts, waivers=waivers, today=TODAY)


def test_a_waived_finding_does_not_keep_the_verdict_from_pass_and_both_verdicts_are_known() -> None:
    broken = {
        "b": "SKIPPED",
        "conclusion": "SKIPPED",
        "stack": "base",
    }
    verdict = verdict_of([waiver(check="run_b_result")], **broken)
    assert (verdict.status, verdict.without_waivers) == (Status.PASS, Status.PARTIAL)
    assert verdict.findings == []
    assert verdict.conclusion == "Releasable on the base stack: what was found is waived."
    assert [item.text for item in verdict.waived] == ["run_b_result: SKIPPED: b broke"]


def test_an_expired_waiver_leaves_the_verdict_as_it_is_without_it() -> None:
    verdict = verdict_of([waiver(check="regression", expires=date(2026, 1, 1))], finding())
    assert (verdict.status, verdict.without_waivers) == (Status.PARTIAL, Status.PARTIAL)
    assert "expired" in verdict.waivers[0]


def test_an_alert_of_a_check_that_warns_is_a_note_and_the_verdict_stays() -> None:
    verdict = verdict_of([], finding(counts=False))
    assert (verdict.status, verdict.findings) == (Status.PASS, [])
    assert verdict.notes == ["regression found something"]


def test_a_waived_note_is_printed_as_waived() -> None:
    verdict = verdict_of([waiver(check="regression")], finding(counts=False))
    assert (verdict.notes, len(verdict.waived)) == ([], 1)
    assert (verdict.status, verdict.without_waivers) == (Status.PASS, Status.PASS)


EVERYTHING = [
    waiver(check=step)
    for step in ("install_status", "env_verification", "run_a_result", "run_b_result", "diff_analysis")
]


@pytest.mark.parametrize(
    "changes",
    [
        {"install_status": InstallStatus(**COMMON, status=Status.FAIL, gate_passed=False)},
        {"env_verification": EnvVerification(**COMMON, status=Status.FAIL, fatal=True)},
        {"a": "FAIL", "b": "FAIL", "conclusion": "SAME_ERROR", "stack": "none", "profiles": "-"},
        {"b": "FAIL"},
        {"model_snapshot": None},
    ],
)
def test_no_waiver_makes_anything_of_a_release_that_fails(changes: dict[str, Any]) -> None:
    verdict = verdict_of(EVERYTHING, **changes)
    assert (verdict.status, verdict.without_waivers) == (Status.FAIL, Status.FAIL)
    assert verdict.waivers == ["5 waivers were not looked at: a FAIL cannot be waived"]


def test_a_lost_run_cannot_be_waived() -> None:
    verdict = release_verdict(documents(), lost_run="gone", waivers=EVERYTHING, today=TODAY)
    assert (verdict.status, verdict.waived) == (Status.FAIL, [])


@pytest.mark.parametrize("step", ["run_a_result", "benchmark_metrics"])
def test_a_missing_measurement_stays_a_finding(step: str) -> None:
    verdict = verdict_of([waiver(check=step)], **{step: None})
    assert verdict.status == Status.PARTIAL


def test_a_ratio_below_its_threshold_is_waived_by_the_name_of_its_check() -> None:
    slow = documents()["benchmark_metrics"]
    assert slow is not None
    doubts = [BenchmarkDoubt(kind=DoubtKind.TOO_SLOW, text="p: 0.700 of base's throughput")]
    slow = slow.model_copy(update={"status": Status.PARTIAL, "doubts": doubts})
    waived = verdict_of([waiver(check="full_base_ratio")], benchmark_metrics=slow)
    assert (waived.status, waived.without_waivers) == (Status.PASS, Status.PARTIAL)
    more = [*doubts, BenchmarkDoubt(kind=DoubtKind.PROFILE_NOT_MEASURED, text="not measured: q")]
    unreached = slow.model_copy(update={"doubts": more})
    assert verdict_of([waiver(check="full_base_ratio")], benchmark_metrics=unreached).status == Status.PARTIAL


def test_the_components_of_findings_are_those_that_failed() -> None:
    failed = run("run_b_result", "FAIL", errors=[error("run_b_result", "broke")])
    changes: dict[str, Any] = {"conclusion": "MULTICHIP_ERROR", "stack": "base", "run_b_result": failed}
    partial = InstallStatus(
        **COMMON,
        status=Status.PARTIAL,
        gate_passed=True,
        packages={"flagcx": PackageResult(status=Status.FAIL, reason="no compiler")},
    )
    accepted = [waiver(component="FlagCX"), waiver(component="vLLM"), waiver(check="diff_analysis")]
    assert verdict_of(accepted, install_status=partial, **changes).status == Status.PASS
    assert len(verdict_of(accepted[:1], install_status=partial, **changes).findings) == 2
