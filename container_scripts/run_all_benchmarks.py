"""Benchmark every profile, one after the other, against one server.

Belongs here: the list of profiles, going on after a failed one, what happens when the server dies between.
Does not belong here: a single profile (run_benchmark), starting servers (benchmark_stack).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from typing import Any, Callable, List, Optional, Sequence, Tuple

if not __package__:  # run as a file: make this folder importable as the package it is
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
from container_scripts import benchmark_metrics, catalog_data
from container_scripts.bench_client import Target, server_is_gone
from container_scripts.benchmark_metrics import Profile
from container_scripts.document import Document, describe_exception, run_program, write_atomically
from container_scripts.run_benchmark import (
    add_server_address_flags,
    add_target_flags,
    empty_document,
    folder_of,
    resolve_endpoint,
    run_profile,
    target_from,
)

Restart = Callable[[], Optional[Target]]


def add_profile_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that choose the profiles and say where each profile's document goes."""
    parser.add_argument(
        "--profiles", metavar="FILE", help="JSON list of profiles (default: those of the catalog)"
    )
    parser.add_argument(
        "--output-dir", metavar="DIR", help="one document per profile (default: that of --output)"
    )


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="run_all_benchmarks", description=__doc__)
    add_server_address_flags(parser)
    add_target_flags(parser)
    add_profile_flags(parser)
    return parser


def observe(arguments: argparse.Namespace) -> Document:
    """Run the profiles that the flags say."""
    profiles = read_profiles(arguments.profiles)
    return run_profiles(target_from(arguments, result_folder(arguments)), profiles)


def result_folder(arguments: argparse.Namespace) -> str:
    """Return the folder for the profiles' files."""
    return os.path.abspath(arguments.output_dir or folder_of(arguments.output))


def read_profiles(path: Optional[str]) -> Tuple[Profile, ...]:
    """Read profiles from a JSON list, or take the catalog's.

    Raises ValueError if an entry lacks a field, is not positive, or a name comes twice.
    """
    if path is None:
        entries: Any = catalog_data.benchmark_profiles()
    else:
        with open(path, encoding="utf-8") as handle:
            entries = json.load(handle)
    try:
        profiles = tuple(
            Profile(
                str(entry["name"]),
                int(entry["input_len"]),
                int(entry["output_len"]),
                int(entry["num_prompts"]),
            )
            for entry in entries
        )
    except (KeyError, TypeError) as error:
        raise ValueError("a profile needs name, input_len, output_len and num_prompts") from error
    if any(min(profile.input_len, profile.output_len, profile.num_prompts) < 1 for profile in profiles):
        raise ValueError("lengths and numbers of prompts of a profile must be at least 1")
    if len({profile.name for profile in profiles}) != len(profiles):
        raise ValueError("two profiles have the same name")
    return profiles


def run_profiles(target: Target, profiles: Sequence[Profile], restart: Optional[Restart] = None) -> Document:
    """Run the profiles and return the document of all; each profile's own is written as soon as it is known.

    ``restart`` is asked once for a new server when the old one is gone; without it, or when it
    returns None, the remaining profiles fail at once, naming the profile during which it died.
    """
    if not profiles:
        return {**_summary([]), "error": "no profile was selected", "restarts": 0}
    if not server_is_gone(target):
        target = dataclasses.replace(target, endpoint_type=resolve_endpoint(target))
    documents: List[Document] = []
    restarts, culprit = 0, "before the first profile"
    for profile in profiles:
        if server_is_gone(target) and restart is not None:
            renewed, restart, restarts = restart(), None, restarts + 1
            target = renewed or target
        if server_is_gone(target):
            document = _failed(profile, f"not started: the server died {culprit}")
        else:
            document = _guarded(target, profile)
            if server_is_gone(target):
                culprit = f"during profile {profile.name}"
                _blame(document)
        documents.append(document)
        write_atomically(
            os.path.join(target.result_dir, f"{profile.name}.json"), json.dumps(document, indent=1) + "\n"
        )
    return {**_summary(documents), "restarts": restarts}


def _guarded(target: Target, profile: Profile) -> Document:
    """Run one profile; an unexpected failure is that profile's, and the next ones still run."""
    try:
        return run_profile(target, profile)
    except Exception as error:  # one sub-step's failure does not skip the others
        return {**empty_document(profile), **describe_exception(error), "reasons": [str(error)]}


def _blame(document: Document) -> None:
    """A profile that leaves no server behind has failed, whatever was measured before."""
    reason = "the server died during this profile"
    if not any(known.startswith(reason) for known in document["reasons"]):
        document["reasons"].insert(0, reason)
    document.update(
        status="FAIL", server_died=True, error=document["error"] or "; ".join(document["reasons"])
    )


def _failed(profile: Profile, reason: str) -> Document:
    return {**empty_document(profile), "reasons": [reason], "error": reason, "server_died": True}


def _summary(documents: Sequence[Document]) -> Document:
    statuses = [document["status"] for document in documents]
    failed = [f"{document['name']}: {document['error']}" for document in documents if document["error"]]
    return {
        "status": benchmark_metrics.overall_status(statuses),
        "profiles_passed": f"{statuses.count('PASS')}/{len(statuses)}",
        "profiles": list(documents),
        "summary_table": benchmark_metrics.summary_table(documents),
        "error": "; ".join(failed) or None,
        "traceback": next((document["traceback"] for document in documents if document["traceback"]), None),
    }


if __name__ == "__main__":
    sys.exit(run_program("run_all_benchmarks", build_parser(), observe))
