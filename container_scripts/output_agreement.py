"""Comparison of two runs' outputs: do two stacks answer alike, near ties aside?

Belongs here: the near-tie rule, degenerate and non-finite outputs, the agreement document.
Does not belong here: the conclusion drawn for a release (diff_analysis), whether one answer is true.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

THRESHOLD_NAT = 0.5
"""Top-2 gap up to which two sound stacks may choose differently.

Measured on an H200 with SmolLM2-135M, 12 prompts of 64 tokens: sound stacks differ first at gaps of
at most 0.25 nat, a broken one at up to 4.19.
"""
REPEATED_SHARE = 0.9
SHORTEST_REPETITION = 4
DIVERGENCES_SHOWN = 10

Output = Mapping[str, Any]


@dataclass(frozen=True)
class Divergence:
    """Where one prompt's outputs part.

    ``base_gap`` is the base's top-2 gap in nat, None where nothing is known of it; with
    ``gap_is_bound`` it is the least that it can be, by the chosen token's own log-probability.
    """

    prompt_id: str
    position: Optional[int]
    base_gap: Optional[float]
    kind: str
    detail: str
    gap_is_bound: bool = False
    phase: str = ""


@dataclass(frozen=True)
class Agreement:
    """How two runs' outputs agree; ``verdict`` is AGREE, DIVERGE or NOT_COMPARABLE."""

    prompts: int
    identical: int
    near_ties: int
    divergent: int
    unknown: int
    first_divergences: Tuple[Divergence, ...]
    threshold_nat: float
    max_logprob_difference: Optional[float]
    finish_reasons_differ: int
    verdict: str
    reason: str

    def to_dict(self) -> Dict[str, Any]:
        """Return the agreement as a JSON object."""
        return asdict(self)


@dataclass
class _Tally:
    """Counts while prompts are compared."""

    prompts: int = 0
    unpaired: int = 0
    identical: int = 0
    near_ties: int = 0
    divergent: int = 0
    unknown: int = 0
    finish_reasons_differ: int = 0
    differences: List[float] = field(default_factory=list)
    found: List[Divergence] = field(default_factory=list)


def compare_outputs(
    base: Sequence[Output], other: Sequence[Output], threshold_nat: float = THRESHOLD_NAT
) -> Agreement:
    """Return how ``other`` agrees with ``base``, prompt by prompt.

    A first difference counts only where the base's own top-2 log-probability gap is larger than
    ``threshold_nat``. Empty, non-finite or repetitive output (nearly all one token) counts always, unless
    the base repeats
    itself too. Where the base recorded no gap, the chosen token's probability may still prove that it is
    large; otherwise the prompt is incomparable.
    """
    return compare_phases([("", base, other)], threshold_nat)


def compare_phases(
    phases: Sequence[Tuple[str, Sequence[Output], Sequence[Output]]], threshold_nat: float = THRESHOLD_NAT
) -> Agreement:
    """Return how the outputs of several phases agree: (phase, base's outputs, the other run's) for each."""
    tally = _Tally()
    for phase, base, other in phases:
        references, others = _by_prompt(base), _by_prompt(other)
        common = [prompt_id for prompt_id in references if prompt_id in others]
        tally.prompts += len(common)
        tally.unpaired += len(references) + len(others) - 2 * len(common)
        known = len(tally.found)
        for prompt_id in common:
            _compare_prompt(prompt_id, references[prompt_id], others[prompt_id], threshold_nat, tally)
        tally.found[known:] = [replace(divergence, phase=phase) for divergence in tally.found[known:]]
    verdict, reason = _verdict(tally, threshold_nat)
    return Agreement(
        prompts=tally.prompts,
        identical=tally.identical,
        near_ties=tally.near_ties,
        divergent=tally.divergent,
        unknown=tally.unknown,
        first_divergences=tuple(tally.found[:DIVERGENCES_SHOWN]),
        threshold_nat=threshold_nat,
        max_logprob_difference=max(tally.differences, default=None),
        finish_reasons_differ=tally.finish_reasons_differ,
        verdict=verdict,
        reason=reason,
    )


def modes_apart(base: Optional[str], other: Optional[str], name: str = "full") -> Optional[str]:
    """Return why outputs of two execution modes are not compared; None for one mode, or an unsaid one."""
    if None in (base, other) or base == other:
        return None
    return f"base ran in {base} mode and {name} in {other} mode; outputs are compared within one mode"


def not_compared(reason: str, threshold_nat: float = THRESHOLD_NAT) -> Agreement:
    """Return the agreement of outputs that must not be compared, and why."""
    return Agreement(0, 0, 0, 0, 0, (), threshold_nat, None, 0, "NOT_COMPARABLE", reason)


def find_defect(output: Output) -> Optional[str]:
    """Return what is wrong with an output taken alone: empty, non_finite, repetitive; None if nothing."""
    text, tokens = _text(output), _tokens(output)
    if not text.strip() and not (tokens and output.get("text") is None):
        return "empty"
    if any(value is None or not math.isfinite(value) for value in _numbers(output.get("logprobs"))):
        return "non_finite"
    units: Sequence[Any] = tokens or text.split()
    if _repeats(units) or _repeats(text.replace(" ", "")):
        return "repetitive"
    return None


def _compare_prompt(prompt_id: str, base: Output, other: Output, threshold: float, tally: _Tally) -> None:
    """Add one prompt's comparison to ``tally``."""
    defect = find_defect(other)
    position = _first_difference(base, other)
    tally.finish_reasons_differ += base.get("finish_reason") != other.get("finish_reason")
    _note_logprobs(base, other, position, tally)
    if defect and not (defect == "repetitive" and find_defect(base) == defect):
        tally.divergent += 1
        tally.found.append(Divergence(prompt_id, position, _gap(base, position), defect, _excerpt(other)))
        return
    if position is None:
        tally.identical += 1
        return
    gap = _gap(base, position)
    bound = _least_gap(base, position) if gap is None else None
    if bound is not None and bound > threshold:
        tally.divergent += 1
        texts = f"{_excerpt(base)} | {_excerpt(other)}"
        tally.found.append(Divergence(prompt_id, position, bound, "divergence", texts, gap_is_bound=True))
        return
    if gap is not None and gap <= threshold:
        tally.near_ties += 1
        kind = "near_tie"
    elif gap is not None:
        tally.divergent += 1
        kind = "divergence"
    else:
        tally.unknown += 1
        kind = "unknown_gap"
    tally.found.append(Divergence(prompt_id, position, gap, kind, f"{_excerpt(base)} | {_excerpt(other)}"))


def _verdict(tally: _Tally, threshold: float) -> Tuple[str, str]:
    """Return (verdict, reason) of a finished tally."""
    prompts, unpaired = tally.prompts, tally.unpaired
    tally.found.sort(key=lambda divergence: divergence.kind in ("near_tie", "unknown_gap"))
    if tally.divergent:
        kinds = ", ".join(sorted({d.kind for d in tally.found} - {"near_tie", "unknown_gap"}))
        return "DIVERGE", f"{tally.divergent} of {prompts} prompts differ beyond a near tie ({kinds})"
    if not prompts:
        return "NOT_COMPARABLE", "there is no prompt that both runs answered"
    if unpaired:
        return "NOT_COMPARABLE", f"{unpaired} outputs have no counterpart in the other run"
    if tally.unknown:
        return (
            "NOT_COMPARABLE",
            f"{tally.unknown} of {prompts} prompts differ where the base recorded no top-2 gap",
        )
    return "AGREE", (
        f"{tally.identical} of {prompts} prompts identical, {tally.near_ties} differ first at a near tie "
        f"(gap of at most {threshold} nat)"
    )


def _by_prompt(outputs: Sequence[Output]) -> Dict[str, Output]:
    return {
        str(output.get("prompt_id", index)): output
        for index, output in enumerate(outputs)
        if isinstance(output, Mapping)
    }


def _first_difference(base: Output, other: Output) -> Optional[int]:
    """Return the index of the first differing token (character where tokens are missing), None if equal."""
    ours: Sequence[Any] = _tokens(base)
    theirs: Sequence[Any] = _tokens(other)
    if not ours or not theirs:
        ours, theirs = _text(base), _text(other)
    for position, (one, two) in enumerate(zip(ours, theirs)):
        if one != two:
            return position
    return None if len(ours) == len(theirs) else min(len(ours), len(theirs))


def _gap(base: Output, position: Optional[int]) -> Optional[float]:
    """Return the base's top-2 gap at a token position, None if it is not known or not finite."""
    gaps = _numbers(base.get("top2_gap")) if _tokens(base) else []
    gap = gaps[position] if position is not None and position < len(gaps) else None
    return gap if gap is not None and math.isfinite(gap) else None


def _least_gap(base: Output, position: Optional[int]) -> Optional[float]:
    """Return the least gap that the chosen token's probability p leaves: log(p / (1 - p))."""
    chosen = _numbers(base.get("logprobs")) if _tokens(base) else []
    value = chosen[position] if position is not None and position < len(chosen) else None
    if value is None or not math.isfinite(value):
        return None
    rest = -math.expm1(min(value, 0.0))
    return value - math.log(rest) if rest > 0 else math.inf


def _note_logprobs(base: Output, other: Output, position: Optional[int], tally: _Tally) -> None:
    """Record the largest difference of log-probabilities over the common tokens."""
    pairs = list(zip(_numbers(base.get("logprobs")), _numbers(other.get("logprobs"))))[:position]
    known = [abs(one - two) for one, two in pairs if one is not None and two is not None]
    tally.differences.extend(difference for difference in known if math.isfinite(difference))


def _repeats(units: Sequence[Any]) -> bool:
    """Return whether one unit makes up nearly all of a sequence."""
    if len(units) < SHORTEST_REPETITION:
        return False
    return Counter(units).most_common(1)[0][1] >= REPEATED_SHARE * len(units)


def _tokens(output: Output) -> List[int]:
    tokens = output.get("token_ids")
    return [token for token in tokens if isinstance(token, int)] if isinstance(tokens, list) else []


def _text(output: Output) -> str:
    text = output.get("text")
    return text if isinstance(text, str) else ""


def _numbers(values: Any) -> List[Optional[float]]:
    """Return a list of numbers as floats (None stays); words such as "NaN" are read as what they say."""
    numbers: List[Optional[float]] = []
    for value in values if isinstance(values, list) else []:
        try:
            numbers.append(None if value is None else float(value))
        except (TypeError, ValueError):
            numbers.append(None)
    return numbers


def _excerpt(output: Output) -> str:
    return _text(output)[:60]
