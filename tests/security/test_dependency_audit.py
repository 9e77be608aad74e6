"""A known vulnerability fails the audit; a machine without a network passes, and says nobody was asked."""

from __future__ import annotations

import datetime
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts import audit_dependencies
from scripts.audit_dependencies import AuditReport, IgnoredAdvisory, judge, main, read_ignored

TODAY = datetime.date(2026, 11, 26)
VULNERABLE = {
    "name": "jinja2",
    "version": "2.10",
    "vulns": [{"id": "PYSEC-2019-217", "aliases": ["CVE-2019-10906"], "fix_versions": ["2.10.1"]}],
}
CLEAN = {"name": "six", "version": "1.17.0", "vulns": []}
SKIPPED = {"name": "six", "skip_reason": "Dependency not found on PyPI"}


def report(*packages: dict[str, Any]) -> AuditReport:
    return AuditReport.model_validate({"dependencies": packages})


def ignored(until: datetime.date, advisory: str = "CVE-2019-10906") -> IgnoredAdvisory:
    return IgnoredAdvisory(id=advisory, reason="we render no foreign templates", until=until)


def test_a_known_vulnerability_fails_with_package_advisory_and_the_version_that_mends_it() -> None:
    outcome = judge(report(CLEAN, VULNERABLE), [], TODAY)
    assert not outcome.passed
    assert "jinja2 2.10: PYSEC-2019-217, mended in 2.10.1" in outcome.lines


def test_clean_packages_pass() -> None:
    outcome = judge(report(CLEAN), [], TODAY)
    assert (outcome.passed, outcome.lines) == (True, ["no known vulnerability in 1 packages"])


@pytest.mark.parametrize("name", ["CVE-2019-10906", "PYSEC-2019-217"])
def test_an_ignored_advisory_counts_again_after_its_date(name: str) -> None:
    assert judge(report(VULNERABLE), [ignored(TODAY, name)], TODAY).passed
    late = judge(report(VULNERABLE), [ignored(TODAY - datetime.timedelta(days=1), name)], TODAY)
    assert not late.passed
    assert any("to be looked at again by 2026-11-25" in line for line in late.lines)


def test_an_index_that_answers_about_nothing_is_not_taken_for_a_clean_bill() -> None:
    outcome = judge(report(SKIPPED), [], TODAY)
    assert outcome.passed
    assert outcome.lines[0].startswith("advisories could not be reached, nothing was audited")
    assert not judge(report(SKIPPED), [], TODAY, must_reach=True).passed


def test_packages_without_an_answer_are_named_beside_those_with_one() -> None:
    outcome = judge(report(CLEAN, {**SKIPPED, "name": "toml"}), [], TODAY)
    assert outcome.passed
    assert "no answer about toml" in outcome.lines


def run_with(
    monkeypatch: pytest.MonkeyPatch, stdout: str, stderr: str = "", *, options: tuple[str, ...] = ()
) -> int:
    """Run the audit with pip-audit answering this."""

    def answer(argv: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(argv, 1, stdout, stderr)

    monkeypatch.setattr(subprocess, "run", answer)
    return main(options)


def test_no_network_passes_and_says_so_and_can_be_made_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    complaint = "requests.exceptions.ConnectionError: (NameResolutionError('nowhere'))"
    assert run_with(monkeypatch, "", complaint) == 0
    assert "advisories could not be reached" in capsys.readouterr().out
    assert run_with(monkeypatch, "", complaint, options=("--require-advisories",)) == 1


def test_an_audit_that_fails_by_itself_is_no_pass(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(monkeypatch, "", "No module named pip_audit") == 2
    assert "No module named pip_audit" in capsys.readouterr().err


def test_a_vulnerability_is_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_with(monkeypatch, json.dumps({"dependencies": [VULNERABLE]})) == 1
    assert run_with(monkeypatch, json.dumps({"dependencies": [CLEAN]})) == 0


def test_an_ignored_advisory_needs_a_reason_and_a_date(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    table = "[[tool.flagrelease.ignored-advisories]]\nid = 'CVE-1'\n"
    for rest in (
        "until = 2027-01-01",
        "reason = 'a reason of some length'",
        "reason = ''\nuntil = 2027-01-01",
    ):
        file.write_text(table + rest)
        with pytest.raises(ValueError, match="IgnoredAdvisory"):
            read_ignored(file)
    file.write_text(table + "reason = 'a reason of some length'\nuntil = 2027-01-01")
    assert [entry.id for entry in read_ignored(file)] == ["CVE-1"]


def test_our_own_list_can_be_read() -> None:
    read_ignored(audit_dependencies.ROOT / "pyproject.toml")
