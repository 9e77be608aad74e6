"""The judgement of failures: which layer and component the root cause of a failed step lies in.

Belongs here: choosing the root exception, weighing frames against words, the error record.
Does not belong here: wordings (error_signatures), owners of code (code_owners), reading (log_reading).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import IO, Dict, Iterable, List, Optional

from container_scripts import error_signatures as table
from container_scripts import error_vocabulary as vocabulary
from container_scripts.code_owners import (
    compiles_kernel,
    kernel_author,
    missing_component,
    named_component,
    owner_of_frames,
)
from container_scripts.dispatch_failures import first_failure
from container_scripts.document import utc_now
from container_scripts.error_endings import RETRYABLE, named_by_program, one_line, with_ending
from container_scripts.error_records import (
    Candidate,
    Classification,
    ErrorRecord,
    Evidence,
    RawFailure,
    record,
)
from container_scripts.log_reading import (
    Line,
    RaisedException,
    cut_blocks,
    find_exceptions,
    read_blocks,
    read_lines,
)

CANDIDATES = 6

__all__ = (
    "Candidate",
    "Classification",
    "ErrorRecord",
    "Evidence",
    "RawFailure",
    "classify",
    "classify_failure",
    "classify_stream",
    "classify_text",
    "judge",
    "record",
)

_OWNER_CATEGORY = {
    vocabulary.FLAGGEMS: "flaggems",
    vocabulary.FLAGTREE: "flagtree",
    vocabulary.FLAGCX: "flagcx",
    vocabulary.PLUGIN: "dispatch",
    vocabulary.TORCH: "framework",
    vocabulary.MODEL: "model",
    vocabulary.VLLM: "engine",
}
_KERNEL_AUTHORS = frozenset({vocabulary.FLAGGEMS, vocabulary.PLUGIN, vocabulary.VLLM})
_STAGED = frozenset({"oom", "segfault", "killed"})
_OWNER_LAYER = {vocabulary.TORCH: "1", vocabulary.MODEL: "3"}


@dataclass(frozen=True)
class _Match:
    """A signature found in a line."""

    signature: vocabulary.Signature
    line: Line
    text: str


def classify(failure: RawFailure) -> ErrorRecord:
    """Return the error record of ``failure``: its root cause as far as the evidence goes."""
    return record(failure, classify_failure(failure), utc_now())


def classify_failure(failure: RawFailure) -> Classification:
    """Return the classification of ``failure``, candidates included."""
    lines: List[Line] = []
    for source, text in (("traceback", failure.traceback), ("error", failure.error), *failure.logs):
        lines.extend(read_lines(source, cut_blocks(text or "")))
    if failure.category:
        return named_by_program(judge(lines), failure)
    found = judge(lines)
    return with_ending(found, failure)


def classify_text(text: str, source: str = "log") -> Classification:
    """Return the classification of one log or message; never raises."""
    return judge(read_lines(source, cut_blocks(text)))


def classify_stream(handle: IO[bytes], source: str = "log") -> Classification:
    """Return the classification of a log of any size, read in blocks."""
    return judge(read_lines(source, read_blocks(handle)))


def judge(lines: List[Line]) -> Classification:
    """Return what ``lines`` prove: overriding words, then the root exception, then other words."""
    exceptions = find_exceptions(lines)
    matches = _without_survived(_find_matches(lines), lines)
    root = _root_exception(exceptions)
    answers = [
        answer
        for answer in (
            _from_override(matches, exceptions, root, lines),
            _from_dispatcher(root, lines),
            _from_root(root),
            _from_words(matches, vocabulary.SPECIFIC),
            _from_owner(root, lines),
            _from_words(matches, vocabulary.WEAK),
            _from_nothing(exceptions, lines),
        )
        if answer
    ]
    candidates: List[Candidate] = []
    for answer in [*answers, *(_answer(match) for match in matches)]:
        candidate = Candidate(answer.layer, answer.component, answer.category, answer.cause)
        if candidate not in candidates and len(candidates) < CANDIDATES:
            candidates.append(candidate)
    chosen = answers[0]
    crashed = any(table.CRASH.search(line.text) for line in lines)
    layer = _stage_layer(lines) if chosen.category in _STAGED else chosen.layer
    return replace(chosen, layer=layer, fatal=chosen.fatal or crashed, candidates=tuple(candidates))


def _find_matches(lines: Iterable[Line]) -> List[_Match]:
    """Return the signatures found in ``lines``, in order; lines that only point elsewhere are left out."""
    found: List[_Match] = []
    seen = set()
    for line in lines:
        shape = (line.process, line.text)
        if shape in seen or _is_code(line.text) or table.GENERIC.search(line.text):
            continue
        seen.add(shape)
        text = f"[{line.speaker}] {line.text}" if "." in line.speaker else line.text
        for signature in table.QUIET_SIGNATURES if line.benign else table.SIGNATURES:
            match = signature.pattern.search(text)
            if match:
                found.append(_Match(signature, line, text[match.start() :]))
    return found


def _without_survived(matches: List[_Match], lines: List[Line]) -> List[_Match]:
    """Return the matches without warnings of a start that went well: they do not end a serving engine."""
    ready: Dict[str, int] = {}
    for line in lines:
        if table.SERVING.search(line.text):
            ready.setdefault(line.source, line.number)
    return [one for one in matches if not one.line.benign or one.line.number > ready.get(one.line.source, 0)]


def _is_code(text: str) -> bool:
    """Return whether a line is a frame or an echoed command, whose words are no evidence."""
    return text.lstrip().startswith('File "') or text.startswith("+ ")


def _root_exception(exceptions: List[RaisedException]) -> Optional[RaisedException]:
    """Return the engine's or worker's own first exception; chains lead back to their cause.

    What was raised while another error was handled replaces it: the first was a probe that failed.
    """
    roots: List[RaisedException] = []
    for exception in exceptions:
        if exception.line.benign or _is_generic(exception):
            continue
        previous = roots[-1] if roots else None
        same_process = previous is not None and previous.line.process == exception.line.process
        if exception.link == "handling" and same_process:
            roots[-1] = exception
        elif exception.link != "cause" or not same_process:
            roots.append(exception)
    whole = [root for root in roots if root.type] or roots
    rank = {"worker": 0, "": 1, "server": 2}
    return min(whole, key=lambda root: rank[root.line.role], default=None)


def _is_generic(exception: RaisedException) -> bool:
    """Return whether the exception only says that another one happened."""
    said = f"{exception.type}: {exception.message}"
    return exception.name in table.GENERIC_TYPES or bool(table.GENERIC.search(said))


def _from_override(
    matches: List[_Match],
    exceptions: List[RaisedException],
    root: Optional[RaisedException],
    lines: List[Line],
) -> Optional[Classification]:
    """Return the answer of words that beat frames: memory, crash, device, disk, hang, kernel resources."""
    match = next((one for one in matches if one.signature.strength == vocabulary.OVERRIDE), None)
    if match is None:
        return None
    if match.signature.component:
        return _answer(match)
    if match.signature.category == "segfault" and root and root.type:
        return None  # a crash on the way out, after the exception that ended the program
    frames = next((exception.frames for exception in exceptions if exception.frames), ())
    if match.signature.category == "segfault":
        return _answer(match, owner_of_frames(frames) or vocabulary.UNKNOWN)
    author = kernel_author(frames) or _named_author(lines)
    author = author if author in _KERNEL_AUTHORS else vocabulary.FLAGTREE
    return replace(_answer(match, author), category=_OWNER_CATEGORY[author])


def _named_author(lines: List[Line]) -> str:
    """Return the component whose module is named in the lines, FlagTree if none is."""
    text = "\n".join(line.text for line in lines)
    if re.search(r"\bflag_?gems[./]", text, re.IGNORECASE):
        return vocabulary.FLAGGEMS
    return vocabulary.VLLM if re.search(r"\bvllm[./]", text) else vocabulary.FLAGTREE


def _from_dispatcher(root: Optional[RaisedException], lines: List[Line]) -> Optional[Classification]:
    """Return the answer of the operator implementation that failed first, if the plugin fell back in vain."""
    failure = first_failure(lines)
    if failure is None or failure.component == vocabulary.PLUGIN:
        return None
    if root is not None and owner_of_frames(root.frames) not in (vocabulary.PLUGIN, failure.component):
        return None  # the program went on, and ended by something else
    return Classification(
        layer="4",
        component=failure.component,
        category=_OWNER_CATEGORY[failure.component],
        cause=one_line(failure.line.text),
        fatal=False,
        retryable=False,
        evidence=(_evidence(failure.line),),
        matched=failure.line.text,
    )


def _from_root(root: Optional[RaisedException]) -> Optional[Classification]:
    """Return the answer of the root exception: a missing package, multi-chip frames, then its words."""
    if root is None or not root.type:
        return None
    said = _said(root)
    missing = missing_component(root.message)
    owner = owner_of_frames(root.frames)
    if owner == vocabulary.FLAGTREE and not compiles_kernel(root.frames) and "Compil" not in root.type:
        owner = kernel_author(root.frames) if "rgument" in root.message else owner
    line = Line(root.line.source, root.line.number, root.line.process, "", "", said)
    words = _strongest(_find_matches([line, *_message_lines(root)]))
    if missing and missing[1] != owner and words:
        return replace(_answer(words, missing[1]), exception=root, cause=one_line(said))
    if owner in vocabulary.MULTICHIP_COMPONENTS:
        return _owned(root, owner, "4", fatal=bool(words and words.signature.fatal))
    if words:
        cause = said if words.line is line else f"{root.type}: {words.line.text.strip()}"
        return replace(
            _answer(words), exception=root, cause=one_line(cause), evidence=(_evidence(root.line),)
        )
    named = None if owner else named_component(root.message)
    return (
        _owned(root, named, "4" if named in vocabulary.MULTICHIP_COMPONENTS else "2", fatal=False)
        if named
        else None
    )


def _message_lines(root: RaisedException) -> List[Line]:
    """Return the continuation lines of an exception's message as lines of their own."""
    place = root.line
    return [
        Line(place.source, place.number + offset, place.process, "", "", text)
        for offset, text in enumerate(root.message.split("\n"))
        if offset
    ]


def _strongest(matches: List[_Match]) -> Optional[_Match]:
    """Return the first of the strongest matches."""
    return max(matches, key=lambda match: match.signature.strength, default=None)


def _from_words(matches: List[_Match], strength: int) -> Optional[Classification]:
    """Return the answer of the first match of ``strength``, an engine's or worker's before a server's."""
    fitting = [match for match in matches if match.signature.strength == strength]
    rank = {"worker": 0, "": 0, "server": 1}
    match = min(fitting, key=lambda one: rank[one.line.role], default=None)
    return _answer(match) if match else None


def _from_owner(root: Optional[RaisedException], lines: List[Line]) -> Optional[Classification]:
    """Return the answer of the root exception's frames where no words are known."""
    owner = owner_of_frames(root.frames) if root else None
    if root is None or owner is None:
        return None
    if not root.type and owner not in vocabulary.MULTICHIP_COMPONENTS:
        return None  # the log was cut inside the traceback: the innermost frame is not known
    layer = "4" if owner in vocabulary.MULTICHIP_COMPONENTS else _OWNER_LAYER.get(owner, _stage_layer(lines))
    return _owned(root, owner, layer, fatal=False)


def _from_nothing(exceptions: List[RaisedException], lines: List[Line]) -> Classification:
    """Return the unknown: the best sentence there is, no component."""
    kept = [exception for exception in exceptions if exception.type and not exception.line.benign]
    specific = [exception for exception in kept if not _is_generic(exception)]
    chosen = next(iter(specific or kept), None)
    last = next((line for line in reversed(lines) if line.text.strip()), None)
    line = chosen.line if chosen else last
    if line is None:
        return Classification("X", vocabulary.UNKNOWN, "result_missing", "nothing was recorded", False, True)
    cause = _said(chosen) if chosen else line.text
    category = "engine_init" if any(table.GENERIC.search(one.text) for one in lines) else vocabulary.UNKNOWN
    return Classification(
        layer=_stage_layer(lines),
        component=vocabulary.UNKNOWN,
        category=category,
        cause=one_line(cause),
        fatal=False,
        retryable=False,
        evidence=(_evidence(line),),
        exception=chosen,
    )


def _stage_layer(lines: List[Line]) -> str:
    """Return 3 if the server had started before the failure, 2 otherwise."""
    return "3" if any(table.SERVING.search(line.text) for line in lines) else "2"


def _answer(match: _Match, component: str = "") -> Classification:
    """Return the classification that one match stands for."""
    signature = match.signature
    return Classification(
        layer=signature.layer,
        component=component or signature.component or vocabulary.UNKNOWN,
        category=signature.category,
        cause=one_line(match.line.text),
        fatal=signature.fatal,
        retryable=signature.category in RETRYABLE and signature.component != vocabulary.USER,
        evidence=(_evidence(match.line),),
        matched=match.text,
    )


def _owned(root: RaisedException, owner: str, layer: str, fatal: bool) -> Classification:
    """Return the classification of an exception by the owner of its innermost deciding frame."""
    where = tuple(
        Evidence(root.line.source, root.line.number, f'File "{frame.path}", line {frame.line}')
        for frame in root.frames[::-1]
        if owner_of_frames([frame]) == owner
    )
    return Classification(
        layer=layer,
        component=owner,
        category=_OWNER_CATEGORY[owner],
        cause=one_line(_said(root)),
        fatal=fatal,
        retryable=False,
        evidence=(_evidence(root.line), *where[:1]),
        exception=root,
    )


def _said(exception: RaisedException) -> str:
    """Return an exception as its log line says it."""
    first = exception.message.split("\n")[0]
    return f"{exception.type}: {first}" if first else exception.type


def _evidence(line: Line) -> Evidence:
    return Evidence(line.source, line.number, one_line(line.text))
