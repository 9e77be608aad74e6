"""Look-ups on Hugging Face Hub, against a server that answers as it does."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tests.doubles.hub_double import HubDouble, HubModel, Reply
from tests.unit.hubs.asking import TOKEN_VARIABLE, Asking

INFO = "/api/models/org/model"


@pytest.fixture
def model(hubs: HubDouble) -> HubModel:
    return hubs.huggingface.setdefault("org/model", HubModel("org/model"))


def test_a_model_is_described_in_full(asking: Asking, model: HubModel) -> None:
    facts = asking.facts()
    assert (facts.id, facts.source, facts.revision) == ("org/model", "huggingface", model.commit)
    assert facts.last_modified == datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert [file.name for file in facts.files] == ["config.json", "model.safetensors", "tokenizer.json"]
    assert facts.total_bytes == sum(model.size_of(name) for name in model.files)
    assert facts.config is not None
    assert (facts.config.model_type, facts.config.layers, facts.config.parameters) == (
        "qwen3",
        28,
        596_049_920,
    )
    assert facts.etag is not None and facts.renamed_to is None


def test_config_is_read_at_the_commit_that_was_found(
    asking: Asking, hubs: HubDouble, model: HubModel
) -> None:
    asking.facts()
    assert [request.path for request in hubs.requests] == [
        INFO,
        f"/org/model/resolve/{model.commit}/config.json",
    ]


def test_an_unchanged_model_costs_one_conditional_request(
    asking: Asking, hubs: HubDouble, model: HubModel
) -> None:
    first = asking.facts()
    hubs.requests.clear()
    assert asking.facts(previous=first) == first
    (request,) = hubs.requests
    assert request.headers["if-none-match"] == first.etag


def test_a_new_commit_is_a_new_data_version(asking: Asking, model: HubModel) -> None:
    first = asking.facts()
    model.commit = "b" * 40
    second = asking.facts(previous=first)
    assert second.revision == "b" * 40
    assert second.data_version != first.data_version


def test_a_changed_page_of_the_same_commit_does_not_fetch_the_config_again(
    asking: Asking, hubs: HubDouble, model: HubModel
) -> None:
    first = asking.facts()
    model.last_modified = "2026-03-01T00:00:00.000Z"
    hubs.requests.clear()
    second = asking.facts(previous=first)
    assert (second.data_version, second.config) == (first.data_version, first.config)
    assert [request.path for request in hubs.requests] == [INFO]


def test_a_cached_version_of_another_source_is_not_trusted(
    asking: Asking, hubs: HubDouble, model: HubModel
) -> None:
    elsewhere = asking.facts().model_copy(update={"source": "modelscope"})
    hubs.requests.clear()
    assert asking.facts(previous=elsewhere).source == "huggingface"
    assert "if-none-match" not in hubs.requests[0].headers


def test_a_304_that_nobody_asked_for_is_no_version(asking: Asking, hubs: HubDouble, model: HubModel) -> None:
    hubs.reply_next(INFO, Reply(304))
    assert "answered 304" in asking.deferred().reason


def test_a_branch_with_a_slash_is_asked_for_as_one_name(
    asking: Asking, hubs: HubDouble, model: HubModel
) -> None:
    model.revisions = ("refs/pr/7",)
    assert asking.facts(revision="refs/pr/7").revision == model.commit
    assert hubs.requests[0].path == f"{INFO}/revision/refs/pr/7"


def test_a_revision_that_does_not_exist_is_named(asking: Asking, model: HubModel) -> None:
    assert "no revision v9" in asking.deferred(revision="v9").reason


def test_a_missing_model_without_token_is_told_with_the_variable_to_set(
    asking: Asking, hubs: HubDouble
) -> None:
    reason = asking.deferred().reason
    assert "401" in reason and TOKEN_VARIABLE in reason
    assert len(hubs.requests) == 1


def test_a_missing_model_with_token_does_not_exist(
    asking: Asking, hubs: HubDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, hubs.token)
    assert "does not exist" in asking.deferred().reason


def test_a_private_model_needs_the_token_and_gets_it_from_the_environment(
    asking: Asking, hubs: HubDouble, model: HubModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.private = True
    assert "private" in asking.deferred().reason
    monkeypatch.setenv(TOKEN_VARIABLE, f"{hubs.token}\n")
    assert asking.facts().revision == model.commit


def test_a_gated_model_says_that_its_terms_have_to_be_accepted(asking: Asking, model: HubModel) -> None:
    model.gated = True
    assert "accept its terms" in asking.deferred().reason


def test_a_renamed_model_is_followed_and_keeps_its_id_here(asking: Asking, hubs: HubDouble) -> None:
    hubs.huggingface["neworg/model"] = HubModel("neworg/model")
    hubs.renamed["org/model"] = "neworg/model"
    facts = asking.facts()
    assert (facts.id, facts.renamed_to) == ("org/model", "neworg/model")
    assert facts.config is not None


def test_a_model_without_config_has_no_config_facts_and_no_request_for_them(
    asking: Asking, hubs: HubDouble, model: HubModel
) -> None:
    model.files = {"model.gguf": 500}
    assert asking.facts().config is None
    assert len(hubs.requests) == 1


def test_a_broken_config_defers_the_model_so_that_it_is_read_again(asking: Asking, model: HubModel) -> None:
    model.files["config.json"] = b'{"hidden_size": 10'
    assert "config.json is not valid JSON" in asking.deferred().reason


GOOD_INFO = {"id": "org/model", "sha": "a" * 40, "siblings": [{"rfilename": "x", "size": 1}]}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"sha": 5}, "sha"),
        ({"sha": "../../secret"}, "sha"),
        ({"id": "x/../../y"}, "id"),
        ({"siblings": None}, "siblings"),
        ({"siblings": {"rfilename": "x"}}, "siblings"),
        ({"siblings": [{"rfilename": "x"}]}, "siblings.0.size"),
        ({"siblings": [{"rfilename": "x", "size": "12"}]}, "siblings.0.size"),
        ({"siblings": [{"rfilename": "x", "size": -1}]}, "siblings.0.size"),
        ({"siblings": []}, "no files"),
        ({"lastModified": "yesterday"}, "lastModified"),
    ],
)
def test_a_field_of_the_wrong_type_is_named_and_defers_the_model(
    asking: Asking, hubs: HubDouble, change: dict[str, object], place: str
) -> None:
    hubs.reply_next(INFO, Reply(body=json.dumps({**GOOD_INFO, **change}).encode()))
    assert place in asking.deferred().reason


@pytest.mark.parametrize("body", [b'{"id": "org/mod', b"", b"[]", b'"x"', b"\xff\xfe\x00", b"[" * 100_000])
def test_a_body_that_is_not_the_document_defers_the_model(
    asking: Asking, hubs: HubDouble, body: bytes
) -> None:
    hubs.reply_next(INFO, Reply(body=body))
    assert "unexpected document" in asking.deferred().reason
