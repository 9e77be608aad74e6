"""Make sure that a model's files are in this worker, complete, and say where and what they are.

Belongs here: deciding between folder and hub, where a download goes, when it is needed.
Does not belong here: the checks of the files (model_files), the hub clients (download_model).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from typing import Optional

if not __package__:  # run as a file: make this folder importable as the package it is
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from container_scripts.commands import run_command
from container_scripts.credentials import hide_credentials
from container_scripts.document import Document, run_program, utc_now, write_atomically
from container_scripts.download_model import HUGGINGFACE, MODELSCOPE
from container_scripts.model_files import inspect_model

FOLDER = "folder"
COMPLETE_MARK = ".download-complete"
DEFAULT_REVISIONS = {HUGGINGFACE: "main", MODELSCOPE: "master"}
KEPT_CHARACTERS = 4000

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$", re.ASCII)


class ModelNotReadyError(Exception):
    """A model's files could not be had; ``output`` is the end of what the hub's client printed."""

    def __init__(self, message: str, output: Optional[str] = None) -> None:
        super().__init__(message)
        self.output = output


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder, or hub id org/name")
    parser.add_argument(
        "--source", choices=(FOLDER, HUGGINGFACE, MODELSCOPE), help="default: by the model's form"
    )
    parser.add_argument("--revision", help="commit, tag or branch of the hub")
    parser.add_argument("--target-root", default="/data/models", help="downloads go below this folder")
    parser.add_argument("--min-free-gb", type=float, default=10.0, help="free space to leave in the target")
    parser.add_argument("--timeout", type=float, default=7200.0, help="seconds for the download")
    return parser


def choose_source(model: str, source: Optional[str]) -> str:
    """Return where ``model`` comes from: an existing folder is a folder, ``org/name`` is a hub id.

    Raises ModelNotReadyError for anything else, such as a folder that does not exist.
    """
    is_hub_id = bool(_HUB_ID.match(model))
    if os.path.isdir(os.path.expanduser(model)) and not (is_hub_id and source in (HUGGINGFACE, MODELSCOPE)):
        return FOLDER
    if is_hub_id and source != FOLDER:
        return source or HUGGINGFACE
    raise ModelNotReadyError(
        f"model {model!r} is neither a folder in this worker nor a hub id of the form org/name: "
        "correct the path, or mount the folder into the worker"
    )


def revisions_folder(root: str, model: str) -> str:
    """Return the folder of all revisions of a hub model; its organisation keeps equal names apart."""
    return os.path.join(root, model.replace("/", "--"))


def target_folder(root: str, model: str, revision: str) -> str:
    """Return where a revision of a hub model goes."""
    return os.path.join(revisions_folder(os.path.expanduser(root), model), revision.replace("/", "--"))


def observe(arguments: argparse.Namespace) -> Document:
    """Return the document body: the model's folder, after a download if one was needed."""
    downloaded, revision = False, arguments.revision
    source = arguments.source
    try:
        source = choose_source(arguments.model, arguments.source)
        path = os.path.abspath(os.path.expanduser(arguments.model))
        if source != FOLDER:
            revision = revision or DEFAULT_REVISIONS[source]
            path = target_folder(arguments.target_root, arguments.model, revision)
            downloaded = ensure_downloaded(source, revision, path, arguments)
    except ModelNotReadyError as error:
        return {
            "status": "FAIL",
            "source": source,
            "revision": revision,
            "error": f"{type(error).__name__}: {error}",
            "traceback": error.output,
        }
    facts = inspect_model(path)
    return {
        "status": "FAIL" if facts["error"] else "PASS",
        "path": path,
        "source": source,
        "revision": revision,
        "downloaded": downloaded,
        **facts,
        "traceback": None,
    }


def ensure_downloaded(source: str, revision: str, path: str, arguments: argparse.Namespace) -> bool:
    """Download into ``path`` unless a complete download is there; say whether that was needed.

    Raises ModelNotReadyError with the end of the client's output if the download fails.
    """
    mark = os.path.join(path, COMPLETE_MARK)
    if os.path.exists(mark) and inspect_model(path)["error"] is None:
        return False
    os.makedirs(path, exist_ok=True)
    free_gb = shutil.disk_usage(path).free / 1e9
    if free_gb < arguments.min_free_gb:
        raise ModelNotReadyError(
            f"No space left: {free_gb:.1f} GB free in {path}, {arguments.min_free_gb:g} GB wanted: "
            "free space, or choose another --target-root"
        )
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "download_model.py")
    argv = [sys.executable, program, "--source", source, "--model", arguments.model, "--revision", revision]
    argv += ["--target", path, "--min-free-gb", str(arguments.min_free_gb)]
    done = run_command(argv, arguments.timeout, echo=True)
    if not done.succeeded:
        output = hide_credentials(done.output.strip())[-KEPT_CHARACTERS:]
        last_line = output.splitlines()[-1] if output else "no output"
        how = f"did not end within {arguments.timeout:g} s" if done.timed_out else f"exit code {done.code}"
        raise ModelNotReadyError(
            f"download of {arguments.model}@{revision} from {source} failed ({how}): {last_line}", output
        )
    write_atomically(mark, utc_now() + "\n")
    return True


if __name__ == "__main__":
    sys.exit(run_program("prepare_model", build_parser(), observe))
