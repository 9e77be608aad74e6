"""Who a worker is: what a result depends on besides scripts and settings.

Belongs here: the identity of a worker as it is stored with every result.
Does not belong here: how a worker is reached.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class PythonFacts(BaseModel):
    """The interpreter of a worker, as it describes itself."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    executable: str
    version: tuple[int, int, int]
    uid: int
    gid: int


class WorkerIdentity(BaseModel):
    """A worker named so exactly that a second look can tell whether it is still the same one."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    kind: str
    name: str
    engine: str | None = None
    container_id: str | None = None
    image: str | None = None
    image_id: str | None = None
    started_at: str | None = None
    python: PythonFacts
