"""What is known of a model: the version that a hub or folder names, and the files in a worker."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from flagrelease_assets.contracts.common import JobResult, StepDocument


class ModelFiles(JobResult):
    """The document of `prepare_model`: a model's folder in a worker."""

    path: str | None = None
    revision: str | None = None
    downloaded: bool = False
    total_bytes: int | None = None
    weight_bytes: int | None = None
    shards: dict[str, Any] = {}
    tokenizer: dict[str, Any] = {}
    has_chat_template: bool | None = None
    config: dict[str, Any] = {}
    digest: str | None = None


class ModelSnapshot(StepDocument):
    """The model's files in the worker, checked, and the tensor parallel size that fits them."""

    step: Literal["model_snapshot"] = "model_snapshot"
    model_id: str = ""
    source: str = ""
    revision: str | None = None
    path: str = ""
    bytes: int = 0
    shard_count: int = 0
    has_chat_template: bool = False
    tensor_parallel_size: int = 1
    tensor_parallel_reason: str | None = None
    trust_remote_code: bool = False
    files: ModelFiles | None = Field(None, description="Everything that was seen in the folder.")

    def essence(self) -> dict[str, Any]:
        """Return what runs depend on: which files, where, and how they are split."""
        return {
            "path": self.path,
            "revision": self.revision,
            "content": self.files.digest if self.files else None,
            "tensor parallel size": self.tensor_parallel_size,
        }
