"""What waivers do to the findings of a release: demote, expire, or match nothing.

Belongs here: pure matching of waivers and findings, and what is to be said of each waiver.
Does not belong here: the verdict (`verdict.py`), which findings there are, the deployment file's shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from flagrelease_assets.contracts.checks import Finding, WaivedFinding
from flagrelease_assets.deployment.waivers import Waiver


@dataclass(frozen=True)
class Weighed:
    """Findings after the waivers: what remains, what is waived, and what to say of other waivers."""

    remaining: list[Finding]
    waived: list[WaivedFinding] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def weigh(findings: Sequence[Finding], waivers: Sequence[Waiver], today: date) -> Weighed:
    """Return the findings with the waivers of this vendor and model applied.

    A waiver without a component accepts a whole finding of its check. One with a component accepts that
    component's part in it: a finding about several components needs all of them waived.

    Args:
        findings: every finding, notes among them.
        waivers: those of this vendor and model.
        today: the day in UTC; a waiver still counts on its last day.
    """
    active = [waiver for waiver in waivers if not expired(waiver, today)]
    remaining: list[Finding] = []
    waived: list[WaivedFinding] = []
    used: list[Waiver] = []
    for finding in findings:
        accepted_by = accepting(finding, active)
        if not accepted_by:
            remaining.append(finding)
            continue
        used += accepted_by
        reasons = dict.fromkeys(waiver.reason for waiver in accepted_by)
        expires = min(waiver.expires for waiver in accepted_by)
        waived.append(WaivedFinding(text=finding.text, reason="; ".join(reasons), expires=expires))
    said = [
        f"{_named(waiver)} expired on {waiver.expires}: it counts no more"
        for waiver in waivers
        if expired(waiver, today)
    ]
    said += [
        f"{_named(waiver)} matched nothing: it can be removed" for waiver in active if waiver not in used
    ]
    return Weighed(remaining, waived, said)


def expired(waiver: Waiver, today: date) -> bool:
    """Whether a waiver's last day is over."""
    return today > waiver.expires


def accepting(finding: Finding, active: Sequence[Waiver]) -> list[Waiver]:
    """Return the waivers that together accept a finding; none if it is not wholly accepted."""
    fitting = [waiver for waiver in active if finding.waivable and waiver.check in (None, finding.check)]
    whole = [waiver for waiver in fitting if waiver.component is None]
    if whole:
        return whole[:1]
    parts = {waiver.component: waiver for waiver in fitting}
    covered = bool(finding.components) and all(name in parts for name in finding.components)
    return [parts[name] for name in dict.fromkeys(finding.components)] if covered else []


def accepted(finding: Finding, waivers: Sequence[Waiver], vendor: str, model: str, today: date) -> str | None:
    """Return in words until when and why a finding of one vendor and model is accepted; None if it is not."""
    active = [waiver for waiver in waivers if waiver.concerns(vendor, model) and not expired(waiver, today)]
    said = [f"waived until {waiver.expires}: {waiver.reason}" for waiver in accepting(finding, active)]
    return "; ".join(said) or None


def _named(waiver: Waiver) -> str:
    return f"the waiver of {waiver.subject} ({waiver.reason})"
