"""What became of a job, seen from outside, and ending what a vanished supervisor left behind.

Belongs here: the state of a job as its files and /proc say it, and the burial of a lost job.
Does not belong here: supervising a job that runs (supervise), cleaning up after whole runs (job_cleanup).
"""

from __future__ import annotations

from typing import List, Optional, Tuple

from container_scripts.document import Document, utc_now
from container_scripts.job_files import JobDirectory
from container_scripts.processes import (
    Ending,
    Process,
    ProcessId,
    all_processes,
    boot_id,
    end_processes,
    has_variable,
    is_alive,
    living_descendants,
    read_process,
)

MARKER_VARIABLE = "FLAGRELEASE_JOB_MARKER"
CANCEL_GRACE_S = 5.0


def look(directory: JobDirectory) -> Tuple[str, Optional[Document]]:
    """Return the state of a job, and its exit document if it has one."""
    state = directory.state()
    if state is None:
        return "starting", None
    supervised = is_supervised(state)  # asked before exit.json, which it writes last
    ended = directory.exit()
    if ended is not None:
        return ("lost" if ended["reason"] == "lost" else "finished"), ended
    if not supervised:
        return "lost", None
    return ("running" if "marker" in state else "starting"), None


def is_supervised(state: Document) -> bool:
    """Tell whether the supervisor that a state names still lives; one from before a reboot does not."""
    return bool(state.get("boot_id") == boot_id() and is_alive(ProcessId(*state["supervisor"])))


def bury(directory: JobDirectory) -> Document:
    """End what a vanished supervisor left behind, and write exit.json in its place.

    A leftover is ended if it carries the job's marker, which no process has by chance; a recorded process
    that still lives but hides its environment is only reported.
    """
    state = directory.state() or {}
    marker = state.get("marker", "")
    rows = state.get("processes", []) if state.get("boot_id") == boot_id() else []
    recorded = [ProcessId(pid, start_ticks) for pid, start_ticks, _ in rows]

    def known() -> List[Process]:
        living = [identity.pid for identity in recorded if is_alive(identity)]
        roots = [process for process in map(read_process, living) if process is not None]
        found = [*roots, *living_descendants(*living), *_marked(marker)]
        return list({process.id: process for process in found}.values())

    def leftovers() -> List[Process]:
        return [p for p in known() if has_variable(p.id.pid, MARKER_VARIABLE, marker)]

    ending = end_processes(leftovers, CANCEL_GRACE_S)
    ending = Ending(ending.terminated, known())
    document = exit_document(
        "lost",
        ending,
        error="the supervisor of the job vanished without a word: killed, or the worker restarted",
    )
    directory.write_exit(document)
    return document


def _marked(marker: str) -> List[Process]:
    """Return the living processes of a job by its marker: also those that nobody had recorded yet."""
    if not marker:
        return []
    return [p for p in all_processes() if p.alive and has_variable(p.id.pid, MARKER_VARIABLE, marker)]


def exit_document(
    reason: str,
    ending: Ending,
    code: Optional[int] = None,
    number: Optional[int] = None,
    duration_s: Optional[float] = None,
    error: Optional[str] = None,
) -> Document:
    """Return what exit.json says of the end of a job."""
    return {
        "reason": reason,
        "code": code,
        "signal": number,
        "duration_s": None if duration_s is None else round(duration_s, 3),
        "terminated": [
            {"pid": process.id.pid, "name": process.name, "signal": name}
            for process, name in ending.terminated
        ],
        "survivors": [{"pid": process.id.pid, "name": process.name} for process in ending.survivors],
        "finished_at": utc_now(),
        "error": error,
    }
