"""Asks for known vulnerabilities of what constraints.txt pins, and says so if nobody could be asked.

Belongs here: running pip-audit, and what its answer means for a check that also runs without a network.
Does not belong here: which versions are pinned (constraints.txt) and advisories ignored (pyproject.toml).
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

ROOT = Path(__file__).parents[1]
LIMIT_S = 300
_NO_NETWORK = (
    "ConnectionError",
    "ConnectTimeout",
    "Could not connect",
    "NameResolutionError",
    "ProxyError",
    "ReadTimeout",
    "SSLError",
)


class IgnoredAdvisory(BaseModel):
    """An advisory that does not concern us: its id, why, and until when that is believed."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1)
    reason: str = Field(min_length=10)
    until: datetime.date


class Vulnerability(BaseModel):
    """A known vulnerability of one pinned package."""

    id: str
    aliases: list[str] = []
    fix_versions: list[str] = []


class AuditedPackage(BaseModel):
    """One pinned package as pip-audit reports it; ``skip_reason`` says why there is no answer about it."""

    name: str
    version: str = ""
    vulns: list[Vulnerability] = []
    skip_reason: str | None = None


class AuditReport(BaseModel):
    """What pip-audit prints."""

    dependencies: list[AuditedPackage]


class AuditOutcome(BaseModel):
    """The lines to show, and whether the audit passes."""

    passed: bool
    lines: list[str]


def judge(
    report: AuditReport, ignored: Sequence[IgnoredAdvisory], today: datetime.date, *, must_reach: bool = False
) -> AuditOutcome:
    """Return what a report means on a day.

    Args:
        report: what pip-audit found.
        ignored: advisories that do not count until their date.
        today: the day that those dates are compared with.
        must_reach: whether a report without any answer is a failure.
    """
    asked = [package for package in report.dependencies if package.skip_reason is None]
    if not asked:
        return unreached("the index knows no advisories of any pinned package", must_reach)
    valid = {entry.id for entry in ignored if entry.until >= today}
    found = [
        f"{package.name} {package.version}: {vulnerability.id}, "
        f"mended in {', '.join(vulnerability.fix_versions) or 'no version yet'}"
        for package in asked
        for vulnerability in package.vulns
        if not valid & {vulnerability.id, *vulnerability.aliases}
    ]
    late = [
        f"the ignored advisory {entry.id} was to be looked at again by {entry.until}"
        for entry in ignored
        if entry.until < today
    ]
    silent = [package.name for package in report.dependencies if package.skip_reason is not None]
    notes = [f"no answer about {', '.join(silent)}"] if silent else []
    problems = found + late
    verdict = "known vulnerabilities" if problems else "no known vulnerability"
    return AuditOutcome(passed=not problems, lines=[f"{verdict} in {len(asked)} packages", *problems, *notes])


def unreached(reason: str, must_reach: bool) -> AuditOutcome:
    """Return the outcome of an audit that nobody answered."""
    return AuditOutcome(
        passed=not must_reach, lines=[f"advisories could not be reached, nothing was audited: {reason}"]
    )


def read_ignored(file: Path) -> list[IgnoredAdvisory]:
    """Return the ignored advisories of a pyproject.toml; raises ValueError for one without reason or date."""
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    entries = content.get("tool", {}).get("flagrelease", {}).get("ignored-advisories", [])
    return [IgnoredAdvisory.model_validate(entry) for entry in entries]


def ask(constraints: Path) -> AuditReport | str:
    """Return what pip-audit reports about the pinned versions, or why it could not ask anybody.

    Raises RuntimeError if it failed for a reason of its own.
    """
    options = ("--no-deps", "--disable-pip", "--progress-spinner=off", "--desc=off", "--format=json")
    argv = [sys.executable, "-m", "pip_audit", *options, "--requirement", str(constraints)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {LIMIT_S} s"
    try:
        return AuditReport.model_validate(json.loads(done.stdout))
    except (ValueError, ValidationError):
        complaint = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        if any(word in done.stderr for word in _NO_NETWORK):
            return complaint
        raise RuntimeError(f"pip-audit failed: {complaint}") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the audit; 0 if it passes or nobody could be asked, 1 for a vulnerability, 2 if it cannot run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--constraints", type=Path, default=ROOT / "constraints.txt")
    parser.add_argument("--project", type=Path, default=ROOT / "pyproject.toml")
    parser.add_argument(
        "--require-advisories", action="store_true", help="fail where no advisories can be reached"
    )
    options = parser.parse_args(arguments)
    must_reach = options.require_advisories
    try:
        ignored = read_ignored(options.project)
        answer = ask(options.constraints)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"audit: {error}", file=sys.stderr)
        return 2
    if isinstance(answer, str):
        outcome = unreached(answer, must_reach)
    else:
        outcome = judge(answer, ignored, datetime.datetime.now(datetime.UTC).date(), must_reach=must_reach)
    for line in outcome.lines:
        print(f"audit: {line}")
    return 0 if outcome.passed else 1


if __name__ == "__main__":
    sys.exit(main())
