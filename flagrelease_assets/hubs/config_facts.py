"""What a model's config.json tells about its architecture.

Belongs here: the reading of config.json, whatever names a model family gives to the same fact.
Does not belong here: where the file comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict

from flagrelease_assets.hubs.problem import LookupProblem
from flagrelease_assets.strict_reading import parse_json

_TEXT_PARTS = ("text_config", "llm_config", "language_config", "thinker_config")
"""Where multimodal models keep the configuration of their language model."""

_HIDDEN_SIZE = ("hidden_size", "n_embd", "d_model")
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
_HEADS = ("num_attention_heads", "n_head", "n_heads")
_KV_HEADS = ("num_key_value_heads", "multi_query_group_num", "num_kv_heads")
_EXPERTS = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts")
_CONTEXT_LENGTH = (
    "max_position_embeddings",
    "n_positions",
    "seq_length",
    "max_seq_len",
    "max_sequence_length",
)


class ConfigFacts(BaseModel):
    """Architecture of a model; None is "config.json does not say it as one number".

    `context_length` is in tokens, `parameters` is the count that the hub reports.
    """

    model_config = ConfigDict(defer_build=True, frozen=True)

    architectures: tuple[str, ...] = ()
    model_type: str | None = None
    dtype: str | None = None
    hidden_size: int | None = None
    layers: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    experts: int | None = None
    context_length: int | None = None
    parameters: int | None = None

    @classmethod
    def from_json(cls, text: bytes, parameters: int | None = None) -> Self:
        """Read the text of a config.json.

        A field that is absent or not of the usual type is None: some families give a list per layer where
        others give a number. Raises `LookupProblem` where the text is not a JSON object.
        """
        try:
            document = parse_json(text, allow_infinity=True)
        except ValueError as error:
            raise LookupProblem(f"config.json is not valid JSON: {error}") from error
        if not isinstance(document, dict):
            raise LookupProblem(f"config.json is not a JSON object but a {type(document).__name__}")
        inner: Mapping[str, object] = next(
            (document[key] for key in _TEXT_PARTS if isinstance(document.get(key), dict)), {}
        )
        both = (document, inner)
        architectures = document.get("architectures")
        if not isinstance(architectures, list):
            architectures = []
        return cls(
            architectures=tuple(name for name in architectures if isinstance(name, str)),
            model_type=_first_text(both, ("model_type",)),
            dtype=_first_text(both, ("dtype", "torch_dtype")),
            hidden_size=_first_count(both, _HIDDEN_SIZE),
            layers=_first_count(both, _LAYERS),
            heads=_first_count(both, _HEADS),
            kv_heads=_first_count(both, _KV_HEADS),
            experts=_first_count(both, _EXPERTS),
            context_length=_first_count(both, _CONTEXT_LENGTH),
            parameters=parameters,
        )


def count_or_none(value: object) -> int | None:
    """Return a positive whole number of at most 64 bits as it is, and None for everything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63 else None


def _first_count(parts: tuple[Mapping[str, object], ...], names: tuple[str, ...]) -> int | None:
    counts = (count_or_none(part.get(name)) for part in parts for name in names)
    return next((count for count in counts if count is not None), None)


def _first_text(parts: tuple[Mapping[str, object], ...], names: tuple[str, ...]) -> str | None:
    texts = (part.get(name) for part in parts for name in names)
    return next((text for text in texts if isinstance(text, str) and text), None)
