"""What can be said of generated text without a reference: empty, non-finite, degenerate, factual anchor.

Belongs here: pure checks over the answers of one run.
Does not belong here: comparing two runs with each other, or talking to an engine.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Dict, List, Optional, Sequence

Answer = Dict[str, Any]
Check = Dict[str, Any]

JUDGED_TOKENS = 32
SHORTEST_JUDGED = 12
# Measured on H200 with SmolLM2-135M, 32 greedy tokens: sane stacks have at least 0.47 distinct tokens
# and at most 0.22 of one token; stacks that answer rubbish lie on the other side for most prompts.
FEWEST_DISTINCT = 0.35
LARGEST_SHARE = 0.5
LARGEST_REPLACEMENT_SHARE = 0.1

NAMED_ANSWERS = 2
"""Degenerate answers that are named; the others are counted: every answer is kept beside the check."""


def check_answers(answers: Sequence[Answer]) -> Dict[str, Check]:
    """Return every check by name, each ``{ok, detail}``; no answers at all fails the checks that gate.

    An answer has ``prompt_id`` and ``text`` and may have ``token_ids``, ``logprobs`` (None where a
    value was not finite) and ``anchors`` (accepted words, any of them). ``anchor.ok`` is None if no
    prompt has an anchor: it informs and never decides.
    """
    return {
        "non_empty": check_non_empty(answers),
        "finite_logprobs": check_finite_logprobs(answers),
        "not_degenerate": check_not_degenerate(answers),
        "anchor": check_anchor(answers),
    }


def failed_gates(checks: Dict[str, Check], allow_degenerate: bool = False) -> List[str]:
    """Return one reason for each failed check that decides the status of a run."""
    gates = ["non_empty", "finite_logprobs"] + ([] if allow_degenerate else ["not_degenerate"])
    return [f"{name}: {checks[name]['detail']}" for name in gates if not checks[name]["ok"]]


def check_non_empty(answers: Sequence[Answer]) -> Check:
    """Every prompt must have been answered with something other than white space."""
    empty = [str(answer["prompt_id"]) for answer in answers if not (answer.get("text") or "").strip()]
    if not answers:
        return {"ok": False, "detail": "no prompt was answered"}
    if empty:
        return {"ok": False, "detail": f"empty answer to {', '.join(empty)} ({len(empty)} of {len(answers)})"}
    return {"ok": True, "detail": f"{len(answers)} of {len(answers)} answers have text"}


def check_finite_logprobs(answers: Sequence[Answer]) -> Check:
    """Every log-probability must be a finite number; at least one must have been reported."""
    values = [value for answer in answers for value in (answer.get("logprobs") or [])]
    wrong = [value for value in values if value is None or not math.isfinite(value)]
    if not values:
        return {"ok": False, "detail": "no log-probabilities were reported"}
    if wrong:
        return {"ok": False, "detail": f"{len(wrong)} of {len(values)} log-probabilities are not finite"}
    return {"ok": True, "detail": f"{len(values)} log-probabilities are finite"}


def degeneracy(answer: Answer) -> Optional[str]:
    """Return why an answer is degenerate, or None; an answer too short to tell is not degenerate."""
    text = answer.get("text") or ""
    units = list(answer.get("token_ids") or text.split() or text)
    if len(units) < SHORTEST_JUDGED and len(text) >= SHORTEST_JUDGED and not answer.get("token_ids"):
        units = list(text)
    units = units[:JUDGED_TOKENS]
    if text and text.count("\ufffd") / len(text) > LARGEST_REPLACEMENT_SHARE:
        return "undecodable characters"
    if len(units) < SHORTEST_JUDGED:
        return None
    share = Counter(units).most_common(1)[0][1] / len(units)
    distinct = len(set(units)) / len(units)
    if share > LARGEST_SHARE:
        return f"one token makes up {share:.0%}"
    if distinct < FEWEST_DISTINCT:
        return f"only {distinct:.0%} distinct tokens"
    return None


def check_not_degenerate(answers: Sequence[Answer]) -> Check:
    """Fewer than half of the answers may be repetition: a small model loops at times, a broken one always."""
    found = {
        str(answer["prompt_id"]): reason for answer in answers for reason in [degeneracy(answer)] if reason
    }
    listed = "; ".join([f"{prompt}: {reason}" for prompt, reason in found.items()][:NAMED_ANSWERS])
    more = f"; {len(found) - NAMED_ANSWERS} more" if len(found) > NAMED_ANSWERS else ""
    if not answers:
        return {"ok": False, "detail": "no prompt was answered"}
    return {
        "ok": 2 * len(found) < len(answers),
        "detail": f"{len(found)} of {len(answers)} answers are degenerate"
        + (f" ({listed}{more})" if listed else ""),
    }


def check_anchor(answers: Sequence[Answer]) -> Check:
    """Say whether the prompts with a known answer were answered with it."""
    anchored = [answer for answer in answers if answer.get("anchors")]
    missed = [
        str(answer["prompt_id"])
        for answer in anchored
        if not any(word.lower() in (answer.get("text") or "").lower() for word in answer["anchors"])
    ]
    if not anchored:
        return {"ok": None, "detail": "no prompt has a known answer"}
    if missed:
        return {"ok": False, "detail": f"known answer missing in {', '.join(missed)}"}
    return {"ok": True, "detail": f"known answer found in {len(anchored)} of {len(anchored)}"}
