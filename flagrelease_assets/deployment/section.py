"""What every section of the deployment file is: a typed mapping in which an unknown key is an error.

Belongs here: the base of sections. Does not belong here: any section.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the deployment file."""

    model_config = ConfigDict(extra="forbid", defer_build=True)
