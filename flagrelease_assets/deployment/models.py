"""`models:`, the models that can be released.

Belongs here: one model's entry. Does not belong here: looking its version up (`hubs`).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from flagrelease_assets.contracts.keys import model_key
from flagrelease_assets.deployment.remote_code import refuse_trust_in
from flagrelease_assets.deployment.section import Section
from flagrelease_assets.hubs.base import ModelReference, ModelSource


class ModelEntry(Section):
    """One model that can be released."""

    id: str = Field(description="Hub id `org/name`, or a plain name for a folder.")
    source: Literal["huggingface", "modelscope", "folder"] = "huggingface"
    path: str | None = Field(None, description="Folder in the worker, for source `folder`.")
    revision: str | None = Field(None, description="Commit, tag or branch; the hub's newest if absent.")
    dtype: str = Field("auto", description="As vLLM's --dtype.")
    tensor_parallel_size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    max_model_len: int | None = Field(None, ge=16, description="Context length in tokens to serve with.")
    vllm_args: list[str] = Field([], description="Extra `vllm serve` arguments, one list item each.")
    trust_remote_code: bool = False
    coherent: bool = Field(True, description="False for random weights: degenerate text is not judged.")

    @field_validator("id")
    @classmethod
    def _id_makes_a_key(cls, value: str) -> str:
        model_key(value)
        return value

    @field_validator("vllm_args")
    @classmethod
    def _trust_is_said_by_its_own_key(cls, value: list[str]) -> list[str]:
        refuse_trust_in(value)
        return value

    @model_validator(mode="after")
    def _names_a_source(self) -> Self:
        _ = self.reference
        return self

    @property
    def key(self) -> str:
        """The model's partition key."""
        return model_key(self.id)

    @property
    def reference(self) -> ModelReference:
        """The model as a hub or folder look-up names it; raises ValueError if the source does not fit."""
        return ModelReference(
            id=self.id, source=ModelSource(self.source), revision=self.revision, path=self.path
        )
