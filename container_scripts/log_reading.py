"""Reading of program logs: which lines may matter, who wrote them, which exceptions they hold.

Belongs here: selection from logs of any size, prefixes of processes and loggers, tracebacks of
processes whose lines are interleaved.
Does not belong here: what an exception means (error_signatures), which one is the cause (error_layers).
"""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import dataclass
from typing import IO, Deque, Dict, Iterable, Iterator, List, Optional, Tuple

BLOCK_CHARACTERS = 1 << 20
MAX_LINE = 4000
HEAD_LINES = 2_000
TAIL_LINES = 500
FOLLOWING_LINES = 8
REPEATS_KEPT = 24
SHAPES_KNOWN = 50_000
LAST_LINES = 40

_INTERESTING = re.compile(
    r"error|exception|traceback|file \"|fail|fatal|signal|segmentation|killed|oom|abort|memory|time"
    r"d? ?out|assert|cannot|could not|unable|trap|caused|invalid|not found|unsupported|not support"
    r"|denied|no space|undefined symbol|no module|direct cause|during handling|raise |core dumped"
    r"|startup complete|unexpected|insufficient|must |restricted|mismatch|missing|ptxas|watchdog"
    r"|no available|\.py[:\"]|warn|nan\b|terminat|dead|hung|hang|died|driver|plugin|is abnormal"
)

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_LEVEL = r"(?P<level>DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL|TRACE|SUCCESS)"
_TIME = r"(?:\d{4}[-/])?\d{2}[-/]\d{2}[ T]\d{2}:\d{2}:\d{2}(?:[.,]\d+)?(?:Z|[+-]\d{2}:?\d{2})?"
_PREFIXES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?P<container>[\w.\-]*)\s+\| ?(?=\(|\[|[A-Z]|\s)",  # docker compose
        r"\((?P<process>[A-Za-z][\w.:\-]*(?: rank=\d+)?(?: pid=\d+)(?:, ip=[\d.]+)?)\) ?",
        r"\[(?P<process>(?:rank|default)\d+)\]: ?",
        r"\[\d+,(?P<process>\d+)\]<std(?:err|out)>: ?",  # mpirun
        rf"{_LEVEL} {_TIME} \[?(?P<speaker>[\w./\-]+:\d+)\] ?",  # vLLM
        rf"\[{_LEVEL[:-1]}|W|E|I)\d{{3,4}} [\d:.]+ (?P<speaker>[\w.]+:\d+)\] ?",  # glog, torch C++
        rf"{_LEVEL[:-1]}|W|E|I)\d{{4}} [\d:.]+ +\d+ (?P<speaker>[\w./]+:\d+)\] ?",
        rf"{_TIME} - (?P<speaker>[\w.\-]+) - {_LEVEL} - ",
        rf"{_TIME} \| {_LEVEL} *\| (?P<speaker>\S+) (?:\||-) ",
        rf"{_TIME} {_LEVEL} (?P<speaker>\S+) -- ",  # Ray
        rf"{_TIME} \[?{_LEVEL}\]?:? ",
        rf"\[{_TIME}\] ",
        rf"\[{_LEVEL}\] ",
        r"\[(?P<speaker>[a-z_]\w*(?:\.\w+)+)\] ",
        rf"{_LEVEL}: +",
        rf"{_TIME} (?=\(|\[|[A-Z])",
    )
)
_BENIGN_LEVELS = frozenset({"DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "TRACE", "SUCCESS", "W", "I"})

_FRAME = re.compile(r'^(?P<indent>\s*)File "(?P<path>[^"]+)", line (?P<line>\d+)(?:,? in (?P<function>\S+))?')
_EXCEPTION = re.compile(
    r"^(?:E {2,3})?(?P<type>(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception|Failure|Timeout|Interrupt|Exit"
    r"|OutOfResources|Unsupported))(?:\((?P<code>\d+)\))?(?:: ?(?P<message>.*))?$"
)
_ANY_TYPE = re.compile(r"^(?P<type>(?:[A-Za-z_]\w*\.)+[A-Z]\w*|[A-Z]\w+)(?P<code>$^)?(?:: (?P<message>.*)|$)")
_FAULT_HANDLER = re.compile(r"^(?:Current thread|Thread) 0x\w+.*most recent call first")
_CAUSE = "The above exception was the direct cause of the following exception"
_HANDLING = "During handling of the above exception, another exception occurred"
_MESSAGE_LINES = 12


@dataclass(frozen=True)
class Line:
    """One log line without its prefixes; ``number`` counts from 1 in its source."""

    source: str
    number: int
    process: str
    level: str
    speaker: str
    text: str

    @property
    def benign(self) -> bool:
        """Return whether its writer gave it a level below error."""
        return self.level in _BENIGN_LEVELS

    @property
    def role(self) -> str:
        """Return ``worker`` (engine core or worker), ``server`` or "" by the process's title."""
        if re.search(r"worker|engine", self.process, re.IGNORECASE):
            return "worker"
        return "server" if "APIServer" in self.process else ""


@dataclass(frozen=True)
class Frame:
    """One frame of a traceback."""

    path: str
    line: int
    function: str


@dataclass(frozen=True)
class RaisedException:
    """One exception of a log: ``frames`` from the outermost to the innermost."""

    type: str
    message: str
    frames: Tuple[Frame, ...]
    line: Line
    link: str = ""

    @property
    def name(self) -> str:
        """Return the class name without its module."""
        return self.type.rsplit(".", 1)[-1]


def read_blocks(handle: IO[bytes]) -> Iterator[str]:
    """Yield the text of ``handle`` in blocks of whole lines, so that any size fits in memory."""
    rest = b""
    while True:
        block = handle.read(BLOCK_CHARACTERS)
        if not block:
            break
        whole, newline, rest_of_block = block.rpartition(b"\n")
        if not newline and len(rest) < BLOCK_CHARACTERS:
            rest += rest_of_block
            continue
        yield (rest + whole + newline).decode("utf-8", "replace")
        rest = rest_of_block
    if rest:
        yield rest.decode("utf-8", "replace")


def cut_blocks(text: str) -> Iterator[str]:
    """Yield ``text`` in blocks of whole lines, so that a large one is not split all at once."""
    start = 0
    while start < len(text):
        end = text.find("\n", start + BLOCK_CHARACTERS) + 1 or len(text)
        yield text[start:end]
        start = end


def select_lines(blocks: Iterable[str]) -> List[Tuple[int, str]]:
    """Return the (number, text) of the lines that may matter, in order and bounded in number.

    Kept are lines with a telling word and those that follow them, and the very last lines. A line
    that repeats (digits aside) is kept some times only, so that a flood does not hide what is rare.
    """
    head: List[Tuple[int, str]] = []
    tail: Deque[Tuple[int, str]] = deque(maxlen=TAIL_LINES)
    last: Deque[Tuple[int, str]] = deque(maxlen=LAST_LINES)
    seen: Counter[bytes] = Counter()
    number, following = 0, 0
    for block in blocks:
        for text in block.split("\n"):
            number += 1
            if _INTERESTING.search(text[:MAX_LINE].lower()):
                following = FOLLOWING_LINES
            elif not following:
                last.append((number, text[-MAX_LINE:]))
                continue
            else:
                following -= 1
            text = text[:MAX_LINE]
            shape = text.encode("utf-8", "replace").translate(None, b"0123456789")
            seen[shape] += 1
            if seen[shape] > REPEATS_KEPT:
                last.append((number, text))
            elif len(head) < HEAD_LINES:
                head.append((number, text))
            else:
                tail.append((number, text))
            if len(seen) > SHAPES_KNOWN:
                seen.clear()
        number -= block.endswith("\n")
    return sorted({**dict(last), **dict(head), **dict(tail)}.items())


def strip_prefixes(source: str, number: int, raw: str) -> Line:
    """Return ``raw`` as a Line: colours, process, rank, time and logger prefixes taken off."""
    text = _ANSI.sub("", raw).rpartition("\r")[2] if "\r" in raw.rstrip("\r") else _ANSI.sub("", raw)
    text = text.rstrip("\r")
    found: Dict[str, str] = {}
    position = 0
    for _ in range(6):
        for prefix in _PREFIXES:
            match = prefix.match(text, position)
            if match and match.end() > position:
                found.update({key: value for key, value in match.groupdict().items() if value})
                position = match.end()
                break
        else:
            break
    process = found.get("process", found.get("container", ""))
    return Line(source, number, process, found.get("level", ""), found.get("speaker", ""), text[position:])


def read_lines(source: str, blocks: Iterable[str]) -> List[Line]:
    """Return the lines of ``blocks`` that may matter, without prefixes."""
    return [strip_prefixes(source, number, text) for number, text in select_lines(blocks)]


def find_exceptions(lines: Iterable[Line]) -> List[RaisedException]:
    """Return every exception in ``lines`` in order of appearance, each process read on its own.

    Truncated tracebacks count too: frames without header, an exception line without frames. Frames
    that lead to no exception line become an exception of type "" (the log was cut there).
    """
    streams: Dict[Tuple[str, str], List[Line]] = {}
    position: Dict[Tuple[str, int], int] = {}
    for line in lines:
        position.setdefault((line.source, line.number), len(position))
        streams.setdefault((line.source, line.process), []).append(line)
    found = [exception for stream in streams.values() for exception in _exceptions_of(stream)]
    return sorted(found, key=lambda one: position[one.line.source, one.line.number])


def _exceptions_of(stream: List[Line]) -> Iterator[RaisedException]:
    """Yield the exceptions of one process's lines."""
    frames: List[Frame] = []
    start: Optional[Line] = None
    link, innermost_first = "", False
    for index, line in enumerate(stream):
        text = line.text
        frame = _FRAME.match(text)
        if frame:
            frames.append(Frame(frame["path"], int(frame["line"]), frame["function"] or ""))
            start = start or line
            continue
        if _CAUSE in text or _HANDLING in text:
            link = "cause" if _CAUSE in text else "handling"
            continue
        if text.startswith("Traceback (most recent call last)") or _FAULT_HANDLER.match(text):
            if frames and start:
                yield RaisedException("", "", _ordered(frames, innermost_first), start, link)
            frames, start, innermost_first = [], None, bool(_FAULT_HANDLER.match(text))
            continue
        match = _EXCEPTION.match(text) or (_ANY_TYPE.match(text) if frames and not innermost_first else None)
        if match:
            message = _whole_message(match["message"] or "", stream, index)
            yield RaisedException(match["type"], message, _ordered(frames, innermost_first), line, link)
            frames, start, link, innermost_first = [], None, "", False
    if frames and start:
        yield RaisedException("", "", _ordered(frames, innermost_first), start, link)


def _ordered(frames: List[Frame], innermost_first: bool) -> Tuple[Frame, ...]:
    return tuple(reversed(frames)) if innermost_first else tuple(frames)


def _whole_message(first: str, stream: List[Line], index: int) -> str:
    """Return an exception's message with its continuation lines (neither a frame nor another exception)."""
    parts = [first]
    level = stream[index].level
    for line in stream[index + 1 : index + 1 + _MESSAGE_LINES]:
        text = line.text
        ends = (
            _FRAME.match(text) or _EXCEPTION.match(text) or text.startswith(("Traceback ", "During handling"))
        )
        if (
            ends
            or line.level != level
            or _CAUSE in text
            or line.number - stream[index].number > _MESSAGE_LINES
        ):
            break
        parts.append(text)
    return "\n".join(parts).strip()
