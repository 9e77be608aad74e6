"""Look-ups on ModelScope, against a server that answers as it does."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tests.doubles.hub_double import MODELSCOPE_LISTING_LIMIT, HubDouble, HubModel, Reply
from tests.unit.hubs.asking import TOKEN_VARIABLE, Asking

LISTING = "/api/v1/models/org/model/repo/files"


@pytest.fixture
def model(hubs: HubDouble) -> HubModel:
    return hubs.modelscope.setdefault("org/model", HubModel("org/model"))


def listing(**data: object) -> Reply:
    return Reply(body=json.dumps({"Code": 200, "Success": True, "Message": "", "Data": data}).encode())


def test_a_model_is_described_in_full(asking: Asking, model: HubModel) -> None:
    model.files["tokenizer/vocab.json"] = 10
    facts = asking.facts("modelscope")
    assert (facts.source, facts.revision) == ("modelscope", model.commit)
    assert facts.last_modified == datetime.fromtimestamp(model.committed, UTC)
    assert "tokenizer" not in {file.name for file in facts.files}, "a folder is not a file"
    assert facts.total_bytes == sum(model.size_of(name) for name in model.files)
    assert facts.config is not None and facts.config.kv_heads == 8
    assert facts.etag is None


def test_an_unchanged_commit_costs_one_request_although_no_etag_is_offered(
    asking: Asking, hubs: HubDouble, model: HubModel
) -> None:
    first = asking.facts("modelscope")
    hubs.requests.clear()
    assert asking.facts("modelscope", previous=first) == first
    (request,) = hubs.requests
    assert "if-none-match" not in request.headers


def test_an_etag_is_used_where_the_hub_offers_one(asking: Asking, hubs: HubDouble, model: HubModel) -> None:
    hubs.modelscope_etags = True
    first = asking.facts("modelscope")
    assert asking.facts("modelscope", previous=first) == first
    assert hubs.requests[-1].headers["if-none-match"] == first.etag


def test_a_new_commit_is_a_new_data_version(asking: Asking, model: HubModel) -> None:
    first = asking.facts("modelscope")
    model.commit = "b" * 40
    assert asking.facts("modelscope", previous=first).data_version != first.data_version


def test_the_default_branch_is_master_and_another_can_be_named(
    asking: Asking, hubs: HubDouble, model: HubModel
) -> None:
    model.revisions = ("master", "v1.0")
    asking.facts("modelscope")
    asking.facts("modelscope", revision="v1.0")
    asked = [request.query["Revision"] for request in hubs.requests if request.path == LISTING]
    assert asked == ["master", "v1.0"]


def test_a_revision_that_does_not_exist_is_a_success_without_files_and_not_an_empty_model(
    asking: Asking, model: HubModel
) -> None:
    assert "no revision v9" in asking.deferred("modelscope", revision="v9").reason


def test_a_listing_cut_off_by_the_hub_is_not_taken_for_the_whole_model(
    asking: Asking, model: HubModel
) -> None:
    model.files = {f"shard-{number}.bin": 1 for number in range(MODELSCOPE_LISTING_LIMIT + 5)}
    assert "no more than 3000 files" in asking.deferred("modelscope").reason
    model.files = {f"shard-{number}.bin": 1 for number in range(MODELSCOPE_LISTING_LIMIT - 1)}
    assert len(asking.facts("modelscope").files) == MODELSCOPE_LISTING_LIMIT - 1


def test_a_private_model_needs_the_token_as_session_cookie(
    asking: Asking, hubs: HubDouble, model: HubModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.private = True
    assert "private" in asking.deferred("modelscope").reason
    monkeypatch.setenv(TOKEN_VARIABLE, hubs.token)
    assert asking.facts("modelscope").revision == model.commit


def test_a_deleted_model_is_deferred_without_further_attempts(asking: Asking, hubs: HubDouble) -> None:
    assert "does not exist" in asking.deferred("modelscope").reason
    assert len(hubs.requests) == 1


def test_a_refusal_inside_a_success_is_seen(asking: Asking, hubs: HubDouble) -> None:
    body = {"Code": 10010103009, "Success": False, "Message": "token\nexpired", "Data": None}
    hubs.reply_next(LISTING, Reply(body=json.dumps(body).encode()))
    reason = asking.deferred("modelscope").reason
    assert "10010103009" in reason and "token expired" in reason


FILE = {"Path": "a.bin", "Type": "blob", "Size": 5, "Revision": "c" * 40, "CommittedDate": 1_770_000_000}
OLDER = {**FILE, "Path": "b.bin", "Revision": "d" * 40, "CommittedDate": 1_760_000_000}


@pytest.mark.parametrize(
    ("latest", "revision"),
    [
        ({"Id": "e" * 40, "ShortId": "e" * 8}, "e" * 40),
        ({"Id": "", "ShortId": "d" * 8}, "d" * 40),
        ({"Id": "", "ShortId": "f" * 8}, "f" * 8),
        (None, "c" * 40),
    ],
)
def test_the_newest_commit_is_told_by_the_best_evidence_there_is(
    asking: Asking, hubs: HubDouble, latest: object, revision: str
) -> None:
    hubs.reply_next(LISTING, listing(Files=[FILE, OLDER], LatestCommitter=latest))
    assert asking.facts("modelscope").revision == revision


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({}, "Data.Files"),
        ({"Files": "none"}, "Data.Files"),
        ({"Files": [{**FILE, "Size": "5"}]}, "Data.Files.0.Size"),
        ({"Files": [{**FILE, "Revision": "../x"}]}, "Data.Files.0.Revision"),
        ({"Files": [{**FILE, "CommittedDate": 10**18}]}, "Data.Files.0.CommittedDate"),
        ({"Files": [{"Path": "a.bin", "Size": 5}]}, "no commit"),
        ({"Files": []}, "no commit"),
        ({"Files": [FILE], "LatestCommitter": {"ShortId": 12345678}}, "Data.LatestCommitter.ShortId"),
    ],
)
def test_a_field_of_the_wrong_type_is_named_and_defers_the_model(
    asking: Asking, hubs: HubDouble, data: dict[str, object], place: str
) -> None:
    hubs.reply_next(LISTING, listing(**data))
    assert place in asking.deferred("modelscope").reason


@pytest.mark.parametrize("body", [b'{"Code": 200, "Data": {"Fi', b"[]", b"null", b'{"Code": 200}'])
def test_a_body_that_is_not_the_document_defers_the_model(
    asking: Asking, hubs: HubDouble, body: bytes
) -> None:
    hubs.reply_next(LISTING, Reply(body=body))
    assert "unexpected document" in asking.deferred("modelscope").reason
