"""Reading and ending process trees through /proc, without ever guessing by name.

Belongs here: what /proc says of processes, the identity of a process, ending a set of them for certain.
Does not belong here: deadlines of a job, its files, or why a process has to end.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional

KILL_LIMIT_S = 10.0
"""How long killed processes may take to vanish before they are reported as survivors."""

BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"

_PAUSE_S = 0.05
_FREEZE_PASSES = 20


class ProcessId(NamedTuple):
    """One certain process: its pid, and its start in clock ticks since boot, so that a reused pid differs."""

    pid: int
    start_ticks: int


class Process(NamedTuple):
    """One row of /proc; ``cpu_ticks`` counts its own time and that of the children it has waited for."""

    id: ProcessId
    parent: int
    name: str
    alive: bool
    cpu_ticks: int


class Ended(NamedTuple):
    """A process that was ended, and the last signal it got ("TERM" or "KILL")."""

    process: Process
    signal: str


class Ending(NamedTuple):
    """What ``end_processes`` did: who was ended, and who would not go."""

    terminated: List[Ended]
    survivors: List[Process]


def boot_time() -> float:
    """Return seconds since boot: a clock that no change of the date moves and that counts suspended time."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Return what tells this boot of the machine from every other, or nothing where the kernel hides it."""
    try:
        with open(BOOT_ID_FILE, encoding="ascii") as handle:
            return handle.read().strip()
    except OSError:
        return ""


def read_process(pid: int) -> Optional[Process]:
    """Return what /proc says of ``pid``, or None if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as handle:
            text = handle.read().decode("utf-8", "replace")
    except OSError:
        return None
    return parse_stat(text)


def parse_stat(text: str) -> Process:
    """Parse a line of /proc/PID/stat (proc(5)); the name may itself contain spaces and parentheses.

    A zombie whose other threads still run counts as alive.
    """
    head, _, tail = text.rpartition(")")
    pid, _, name = head.partition("(")
    fields = tail.split()
    state, threads = fields[0], int(fields[17])
    return Process(
        id=ProcessId(int(pid), int(fields[19])),
        parent=int(fields[1]),
        name=name,
        alive=state not in "ZXx" or threads > 1,
        cpu_ticks=sum(int(field) for field in fields[11:15]),
    )


def all_processes() -> List[Process]:
    """Return every process that /proc shows."""
    found = [read_process(int(entry)) for entry in os.listdir("/proc") if entry.isdigit()]
    return [process for process in found if process is not None]


def living_descendants(*roots: int) -> List[Process]:
    """Return the living processes below ``roots`` (pids), the roots themselves left out."""
    children: Dict[int, List[Process]] = {}
    for process in all_processes():
        children.setdefault(process.parent, []).append(process)
    found: List[Process] = []
    pending = list(roots)
    while pending:
        below = children.pop(pending.pop(), [])
        found.extend(below)
        pending.extend(process.id.pid for process in below)
    return [process for process in found if process.alive]


def is_alive(identity: ProcessId) -> bool:
    """Tell whether this very process, not a later one with its pid, still lives."""
    process = read_process(identity.pid)
    return process is not None and process.id == identity and process.alive


def has_ended(child: int) -> bool:
    """Tell whether a child of this process has ended, without reaping it: until then its pid stays its own.

    Raises ChildProcessError if it is no child, or was reaped before.
    """
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def living_in_session(session: int) -> List[Process]:
    """Return the living processes of a session.

    They are certainly the leader's only while it is not reaped or a known process of it lives: the
    number of an empty session is given to others.
    """
    return [process for process in all_processes() if process.alive and session_of(process) == session]


def session_of(process: Process) -> Optional[int]:
    """Return the session that ``process`` is in, or None if it is gone."""
    try:
        return os.getsid(process.id.pid)
    except OSError:
        return None


def has_variable(pid: int, name: str, value: str) -> bool:
    """Tell whether ``pid`` was started with ``name=value`` in its environment; False if it cannot be read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as handle:
            return f"{name}={value}".encode() in handle.read().split(b"\0")
    except OSError:
        return False


def send_signal(identity: ProcessId, number: signal.Signals) -> bool:
    """Signal this very process; return False if it is gone, or its pid belongs to another by now."""
    if not is_alive(identity):
        return False
    try:
        os.kill(identity.pid, number)
    except OSError:
        return False
    return True


def end_processes(
    find: Callable[[], Iterable[Process]], grace_s: float, reap: Callable[[], object] = lambda: None
) -> Ending:
    """End all that ``find`` returns, now or later: TERM, ``grace_s`` seconds, KILL, and look again.

    ``find`` is asked until it returns nothing, so what the processes start meanwhile ends as well;
    before KILL they are stopped, so that they cannot start others. ``reap`` collects dead children.
    """
    sent: Dict[ProcessId, Ended] = {}

    def send(process: Process, number: signal.Signals) -> None:
        if send_signal(process.id, number):
            sent[process.id] = Ended(process, number.name[len("SIG") :])

    def remaining() -> List[Process]:
        reap()
        return list(find())

    alive, end = remaining(), boot_time() + grace_s
    while alive and boot_time() < end:
        for process in alive:
            if process.id not in sent:
                send(process, signal.SIGTERM)
        time.sleep(_PAUSE_S)
        alive = remaining()
    end = boot_time() + KILL_LIMIT_S
    while alive and boot_time() < end:
        for process in _freeze(remaining):
            send(process, signal.SIGKILL)
        time.sleep(_PAUSE_S)
        alive = remaining()
    surviving = {process.id for process in alive}
    return Ending([ended for identity, ended in sent.items() if identity not in surviving], alive)


def _freeze(remaining: Callable[[], List[Process]]) -> List[Process]:
    """Stop all that ``remaining`` returns until it returns nobody new; return them."""
    frozen: Dict[ProcessId, Process] = {}
    for _ in range(_FREEZE_PASSES):
        fresh = [process for process in remaining() if process.id not in frozen]
        if not fresh:
            break
        for process in fresh:
            send_signal(process.id, signal.SIGSTOP)
            frozen[process.id] = process
    return list(frozen.values())
