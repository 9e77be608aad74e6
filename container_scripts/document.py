"""The one way in which a program of this folder reports: a JSON document with a known header.

Belongs here: header fields, atomic writing, the command-line frame that every program shares.
Does not belong here: what any single document says.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
import traceback
from typing import Any, Callable, Dict

from container_scripts.credentials import hide_credentials

SCHEMA_VERSION = 1
RUN_TOKEN_VARIABLE = "FLAGRELEASE_RUN_TOKEN"

Document = Dict[str, Any]


def utc_now() -> str:
    """Return the current time in UTC as ISO 8601 with seconds."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def write_atomically(path: str, text: str) -> None:
    """Write ``text`` to ``path`` so that a reader sees the old file or the new one, never half of it.

    Raises OSError if the folder cannot be made or the file cannot be written.
    """
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    temporary = f"{path}.{os.getpid()}.part"
    with open(temporary, "w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(temporary, path)


def describe_exception(error: BaseException) -> Document:
    """Return the raw evidence of an exception: ``error`` ("Type: message") and ``traceback`` (text).

    Addresses in it have lost their credentials.
    """
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    evidence = {"error": f"{type(error).__name__}: {error}", "traceback": "".join(lines)}
    return {name: hide_credentials(text) for name, text in evidence.items()}


def run_program(
    program: str,
    parser: argparse.ArgumentParser,
    observe: Callable[[argparse.Namespace], Document],
) -> int:
    """Run one program: parse the command line, observe, write the document, return the exit code.

    The document goes to ``--output`` (atomically) or, without it, to standard output as its last
    line; everything else that is printed is log. ``observe`` returns the document without header;
    its ``status`` decides the exit code: 0 for PASS, PARTIAL, SKIPPED and FOUND, 1 otherwise. An exception
    becomes a document with status FAIL and the exception's text, so that no failure is silent.
    """
    parser.add_argument("--output", metavar="FILE", help="write the JSON document here (atomically)")
    arguments = parser.parse_args()
    started_at, clock = utc_now(), time.monotonic()
    try:
        body = observe(arguments)
    except Exception as error:  # the document is where every failure is reported
        body = {"status": "FAIL", **describe_exception(error)}
        sys.stderr.write(body["traceback"])
    document = {
        "schema_version": SCHEMA_VERSION,
        "program": program,
        "run_token": os.environ.get(RUN_TOKEN_VARIABLE),
        "started_at": started_at,
        "finished_at": utc_now(),
        "duration_s": round(time.monotonic() - clock, 3),
        **body,
    }
    text = json.dumps(document, ensure_ascii=False, indent=None if not arguments.output else 1)
    if arguments.output:
        write_atomically(arguments.output, text + "\n")
    else:
        sys.stdout.flush()
        print(text, flush=True)
    return 0 if document.get("status") in ("PASS", "PARTIAL", "SKIPPED", "FOUND") else 1
