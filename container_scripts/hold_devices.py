"""Take a worker's devices for one run, end what dead runs left there, and give the devices back.

Belongs here: the order of these things, and the command line. Does not belong here: the records
(device_lock), the ending (job_cleanup).

``take`` answers {taken, holder, replaced, record, ended, pruned}; ``give`` ends what the run has left and
answers {given, ended}; ``show`` answers {holders}. Each answer is one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from typing import Any, Sequence

if not __package__:  # run as a file: make this folder importable as the package it is
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
from container_scripts import device_lock, job_cleanup
from container_scripts.document import Document, describe_exception

COMMAND_LIMIT_S = 300
"""Ending many orphans that ignore TERM takes its time; this command itself must not hang."""

UNUSABLE = 2


def take(request: "dict[str, Any]") -> Document:
    """Take the devices; only who has them cleans up, so that two contenders do not do it at once."""
    folder, work_root = request["folder"], request["work_root"]
    wanted = device_lock.Holder.of({**request["holder"], "work_root": work_root})
    taking = device_lock.take(folder, wanted, tuple(request["dead_runs"]))
    answer: Document = {
        "taken": taking.holder is None,
        "holder": taking.holder.to_dict() if taking.holder else None,
        "record": taking.path,
        "replaced": [record.holder.run_id for record in taking.replaced],
    }
    if taking.holder:
        return {**answer, "ended": [], "pruned": 0}
    ended = _end_jobs_of(taking.replaced, work_root)
    device_lock.discard(taking.replaced)
    living = {record.holder.run_id for record in device_lock.holders(folder)}
    return {**answer, "ended": ended, "pruned": job_cleanup.prune(work_root, living)}


def _end_jobs_of(replaced: "Sequence[device_lock.Record]", work_root: str) -> "list[Document]":
    """End what replaced runs left, each below its own work root; only our own records are believed."""
    dead: "dict[str, list[str]]" = {work_root: []}
    for record in replaced:
        if record.owner == os.geteuid():
            dead.setdefault(record.holder.work_root or work_root, []).append(record.holder.run_id)
    return [row for root, runs in dead.items() for row in job_cleanup.end_orphans(root, runs)]


def give(request: "dict[str, Any]") -> Document:
    """End what the run has left, and only then let others in."""
    ended = job_cleanup.end_orphans(request["work_root"], [request["run_id"]])
    return {"given": device_lock.give_back(request["folder"], request["run_id"]), "ended": ended}


def show(request: "dict[str, Any]") -> Document:
    """Say who holds devices of this worker."""
    return {"holders": [record.to_dict() for record in device_lock.holders(request["folder"])]}


COMMANDS = {"take": take, "give": give, "show": show}


def main() -> int:
    """Run one command and print its answer; exit code 2 and one line of reason if it cannot be done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("command", choices=sorted(COMMANDS))
    parser.add_argument("request", help="JSON: what the host asks for")
    arguments = parser.parse_args()
    signal.alarm(COMMAND_LIMIT_S)
    try:
        answer = COMMANDS[arguments.command](json.loads(arguments.request))
    except (OSError, ValueError, KeyError, TypeError) as failure:
        sys.stderr.write(f"{arguments.command}: {describe_exception(failure)['error']}\n")
        return UNUSABLE
    print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
