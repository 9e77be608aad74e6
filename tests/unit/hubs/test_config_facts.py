"""config.json: the same fact under many names, and files that are not what they should be."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrelease_assets.hubs.config_facts import ConfigFacts
from flagrelease_assets.hubs.problem import LookupProblem

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
known_keys = st.sampled_from(
    ["architectures", "model_type", "torch_dtype", "hidden_size", "num_experts", "text_config", "n_head"]
)


def read(document: object, parameters: int | None = None) -> ConfigFacts:
    return ConfigFacts.from_json(json.dumps(document).encode(), parameters)


def test_a_dense_model_is_read_whole() -> None:
    facts = read(
        {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "torch_dtype": "bfloat16",
            "hidden_size": 1024,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "max_position_embeddings": 40960,
        },
        parameters=596_049_920,
    )
    assert facts == ConfigFacts(
        architectures=("Qwen3ForCausalLM",),
        model_type="qwen3",
        dtype="bfloat16",
        hidden_size=1024,
        layers=28,
        heads=16,
        kv_heads=8,
        experts=None,
        context_length=40960,
        parameters=596_049_920,
    )


@pytest.mark.parametrize("key", ["num_experts", "n_routed_experts", "num_local_experts"])
def test_experts_are_found_under_the_name_of_each_family(key: str) -> None:
    assert read({key: 64}).experts == 64


def test_a_multimodal_model_keeps_its_type_and_takes_sizes_from_its_language_model() -> None:
    facts = read({"model_type": "qwen3_vl", "text_config": {"model_type": "qwen3", "hidden_size": 4096}})
    assert (facts.model_type, facts.hidden_size) == ("qwen3_vl", 4096)


def test_a_list_per_layer_is_unknown_rather_than_an_error() -> None:
    facts = read({"num_attention_heads": [12, 12, 16], "hidden_size": 2048})
    assert (facts.heads, facts.hidden_size) == (None, 2048)


@pytest.mark.parametrize(
    "text", [b"", b'{"hidden_size": 10', b"[1, 2]", b"null", b"\xff\xfe", b"[" * 200_000]
)
def test_what_is_not_a_json_object_is_a_problem_with_a_reason(text: bytes) -> None:
    with pytest.raises(LookupProblem, match=r"config\.json"):
        ConfigFacts.from_json(text)


@given(st.dictionaries(known_keys | st.text(max_size=5), json_values))
def test_any_json_object_can_be_read(document: dict[str, object]) -> None:
    facts = read(document)
    assert facts.hidden_size is None or facts.hidden_size > 0
