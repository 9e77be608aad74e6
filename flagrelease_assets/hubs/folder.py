"""Versions of models that are plain folders on this host.

Belongs here: the listing of a folder and the digest that stands for its revision.
Does not belong here: folders inside workers; those are looked at by a program that runs there.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from flagrelease_assets.hubs.base import ModelFile, ModelReference, ModelVersionFacts
from flagrelease_assets.hubs.config_facts import ConfigFacts
from flagrelease_assets.hubs.problem import LookupProblem

MAX_FILES = 20_000
"""Files above which a folder is taken for something else than one model."""


class FolderSource:
    """Look-ups of folders: `deadline` is a `time.monotonic()` value, `max_config_bytes` for config.json."""

    def __init__(self, *, deadline: float, max_config_bytes: int) -> None:
        self._deadline = deadline
        self._max_config_bytes = max_config_bytes

    async def look_up(
        self, reference: ModelReference, previous: ModelVersionFacts | None
    ) -> ModelVersionFacts:
        """Tell the version that the folder holds now. Raises `LookupProblem`.

        The folder is read in a thread that nobody waits for after the deadline: a dead network mount blocks
        its reader for good.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[ModelVersionFacts] = loop.create_future()

        def settle(facts: ModelVersionFacts | None, error: Exception | None) -> None:
            if done.done():
                return
            if facts is not None:
                done.set_result(facts)
            elif error is not None:
                done.set_exception(error)

        def read() -> None:
            facts: ModelVersionFacts | None = None
            problem: Exception | None = None
            try:
                facts = self.read(reference)
            except Exception as error:
                problem = error
            with contextlib.suppress(RuntimeError):  # the loop has ended without this answer
                loop.call_soon_threadsafe(settle, facts, problem)

        threading.Thread(target=read, name=f"folder look-up {reference.id}", daemon=True).start()
        return await done

    def read(self, reference: ModelReference) -> ModelVersionFacts:
        """Describe the folder, blocking. Raises `LookupProblem`."""
        root = Path(reference.path or "")
        try:
            if not root.is_dir():
                raise LookupProblem(
                    f"folder {root} is not visible from this host; mount it here, or use the model's hub id"
                )
            listed = [(path.relative_to(root).as_posix(), path.stat()) for path in self._files(root)]
            config = self._config(root)
        except OSError as error:
            raise LookupProblem(f"folder {root} cannot be read: {type(error).__name__}: {error}") from error
        content = sorted(
            (name, status.st_size, status.st_mtime_ns)
            for name, status in listed
            if stat.S_ISREG(status.st_mode)
        )
        newest_ns = max((mtime_ns for _, _, mtime_ns in content), default=0)
        return ModelVersionFacts.of(
            reference,
            revision=hashlib.sha256(json.dumps(content).encode()).hexdigest()[:40],
            last_modified=datetime.fromtimestamp(newest_ns / 1e9, UTC),
            files=(ModelFile(name=name, bytes=size) for name, size, _ in content),
            config=config,
        )

    def _files(self, root: Path) -> Iterator[Path]:
        """Yield the model's files; hidden ones belong to download tools and git, not to the model."""
        count = 0
        for folder, subfolders, names in os.walk(root, onerror=_raise):
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            for name in names:
                if name.startswith("."):
                    continue
                count += 1
                if count > MAX_FILES:
                    raise LookupProblem(f"folder {root} has more than {MAX_FILES} files; is it one model?")
                if time.monotonic() > self._deadline:
                    raise LookupProblem(f"folder {root} could not be listed within the deadline")
                yield Path(folder, name)

    def _config(self, root: Path) -> ConfigFacts | None:
        path = root / "config.json"
        if not path.is_file():
            return None
        if path.stat().st_size > self._max_config_bytes:
            raise LookupProblem(f"{path} is larger than {self._max_config_bytes / 1e6:g} MB")
        return ConfigFacts.from_json(path.read_bytes())


def _raise(error: OSError) -> None:
    raise error
