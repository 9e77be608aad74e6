"""Many look-ups at once: hubs that are slow, broken, hostile or down, and what the others still get."""

from __future__ import annotations

import gzip
import logging
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pydantic import AnyHttpUrl

from flagrelease_assets.hubs.base import Deferred, ModelReference, ModelSource, ModelVersionFacts
from flagrelease_assets.hubs.lookup import LookupResult, look_up_all_now
from flagrelease_assets.hubs.settings import HubAddress
from tests.doubles.hub_double import HubDouble, HubModel, Reply
from tests.unit.hubs.asking import TOKEN_VARIABLE, Asking

INFO = "/api/models/org/model"


@pytest.fixture(autouse=True)
def model(hubs: HubDouble) -> HubModel:
    hubs.modelscope["org/model"] = HubModel("org/model")
    return hubs.huggingface.setdefault("org/model", HubModel("org/model"))


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        yield listener.getsockname()[1]


def references(source: ModelSource, count: int) -> list[ModelReference]:
    return [ModelReference(id=f"org/{source}-{number}", source=source) for number in range(count)]


def reasons(results: list[LookupResult]) -> set[str]:
    return {result.reason for result in results if isinstance(result, Deferred)}


def test_a_429_is_waited_out_as_the_hub_asks(asking: Asking, hubs: HubDouble) -> None:
    hubs.reply_next(INFO, Reply(429, headers={"Retry-After": "0"}), Reply(429))
    assert asking.facts().revision == "a" * 40
    assert len(hubs.requests_for(INFO)) == 3


def in_two_minutes() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=125), usegmt=True)


@pytest.mark.parametrize(
    "headers",
    [
        lambda: {"Retry-After": "120"},
        lambda: {"Retry-After": in_two_minutes()},
        lambda: {"RateLimit": '"api";r=0;t=120', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'},
    ],
    ids=["seconds", "date", "rate-limit"],
)
def test_a_wait_beyond_the_deadline_is_told_instead_of_waited(
    asking: Asking, hubs: HubDouble, headers: Callable[[], dict[str, str]]
) -> None:
    hubs.reply_always(INFO, Reply(429, headers=headers()))
    deferred = asking.deferred()
    assert "429" in deferred.reason
    assert deferred.retry_after_s == pytest.approx(120, abs=10)
    assert len(hubs.requests) == 1


def test_once_a_hub_asked_for_a_wait_no_other_model_is_asked_for(asking: Asking, hubs: HubDouble) -> None:
    hubs.reply_always("/api/models/", Reply(429, headers={"Retry-After": "120"}))
    results = look_up_all_now(
        references(ModelSource.HUGGINGFACE, 50),
        client_settings=asking.settings,
        deadline_s=20,
        concurrency=2,
    )
    assert [result.retry_after_s is not None for result in results if isinstance(result, Deferred)] == [
        True
    ] * 50
    assert len(hubs.requests) <= 2


@pytest.mark.parametrize("value", ["soon", "-5", "\u0663", "1e9x"])
def test_a_retry_after_that_is_no_time_is_ignored(asking: Asking, hubs: HubDouble, value: str) -> None:
    hubs.reply_next(INFO, Reply(503, headers={"Retry-After": value.encode().decode("latin-1")}))
    assert asking.facts().revision == "a" * 40


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_passing_server_error_is_tried_again(asking: Asking, hubs: HubDouble, status: int) -> None:
    hubs.reply_next(INFO, Reply(status, b"<html>oops</html>", content_type="text/html"))
    assert asking.facts().revision == "a" * 40


def test_a_lasting_server_error_is_given_up(asking: Asking, hubs: HubDouble) -> None:
    hubs.reply_always(INFO, Reply(500))
    deferred = asking.deferred()
    assert "answered 500; gave up after 4 attempts" in deferred.reason
    assert deferred.retry_after_s is None
    assert len(hubs.requests) == 4


@pytest.mark.parametrize(
    "reply", [Reply(body=b'{"id":', promised_bytes=500), Reply(hang_up=True)], ids=["cut off", "hung up"]
)
def test_a_connection_lost_in_the_middle_is_tried_again(
    asking: Asking, hubs: HubDouble, reply: Reply
) -> None:
    hubs.reply_next(INFO, reply)
    assert asking.facts().revision == "a" * 40
    hubs.reply_always(INFO, reply)
    assert "cannot be reached" in asking.deferred().reason


def test_a_web_page_is_not_an_answer(asking: Asking, hubs: HubDouble) -> None:
    page = b"<!DOCTYPE html><html><body>Please log in</body></html>"
    hubs.reply_next(INFO, Reply(body=page, content_type="text/html"))
    assert "web page" in asking.deferred().reason
    hubs.reply_next(INFO, Reply(body=b"\n " + page))
    assert "web page" in asking.deferred().reason


def test_a_redirect_to_another_host_is_not_followed_and_never_sees_the_token(
    asking: Asking, hubs: HubDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, hubs.token)
    with HubDouble() as stranger:
        hubs.reply_next(INFO, Reply(302, headers={"Location": f"{stranger.url}{INFO}"}))
        assert "another host" in asking.deferred().reason
        assert stranger.requests == []


@pytest.mark.parametrize("location", ["http://[", "//:99999/", "javascript:alert(1)"])
def test_a_redirect_to_no_address_is_not_followed(asking: Asking, hubs: HubDouble, location: str) -> None:
    hubs.reply_next(INFO, Reply(302, headers={"Location": location}))
    assert "redirects to" in asking.deferred().reason


def test_a_body_that_cannot_be_decompressed_is_no_answer(asking: Asking, hubs: HubDouble) -> None:
    hubs.reply_always(INFO, Reply(body=b"not gzip", headers={"Content-Encoding": "gzip"}))
    assert "DecodingError" in asking.deferred().reason


def test_a_small_answer_that_unpacks_to_a_huge_one_is_not_read_to_its_end(
    asking: Asking, hubs: HubDouble
) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    hubs.reply_next(INFO, Reply(body=bomb, headers={"Content-Encoding": "gzip"}))
    assert "more than 10 MB" in asking.deferred().reason


def test_redirects_in_a_circle_end(asking: Asking, hubs: HubDouble) -> None:
    hubs.reply_always(INFO, Reply(307, headers={"Location": INFO}))
    assert "redirects more than 5 times" in asking.deferred().reason


def test_a_body_beyond_the_limit_is_not_read_to_its_end(asking: Asking, hubs: HubDouble) -> None:
    hubs.reply_next(INFO, Reply(body=b" " * 12_000_000))
    assert "more than 10 MB" in asking.deferred().reason


def test_a_slow_answer_is_given_up_after_the_request_timeout(asking: Asking, hubs: HubDouble) -> None:
    asking.change(request_timeout_s=0.1, max_attempts=2)
    hubs.reply_always(INFO, Reply(delay_s=60))
    assert "did not answer within 0.1 s; gave up after 2 attempts" in asking.deferred().reason


def test_a_back_off_beyond_the_deadline_ends_the_look_up(asking: Asking, hubs: HubDouble) -> None:
    asking.change(backoff_s=60, backoff_max_s=60)
    hubs.reply_always(INFO, Reply(500))
    assert "no time is left for another attempt" in asking.deferred(deadline_s=10).reason


def test_nothing_outlasts_the_deadline(asking: Asking, hubs: HubDouble) -> None:
    hubs.reply_always(INFO, Reply(delay_s=60))
    assert "deadline of 0.3 s" in asking.deferred(deadline_s=0.3).reason


def test_a_hub_that_hangs_delays_only_its_own_models(
    asking: Asking, hubs: HubDouble, silent_port: int
) -> None:
    silent = HubAddress(endpoint=AnyHttpUrl(f"http://127.0.0.1:{silent_port}"))
    asking.change(huggingface=silent)
    asked = [
        *references(ModelSource.HUGGINGFACE, 30),
        ModelReference(id="org/model", source=ModelSource.MODELSCOPE),
    ]
    results = look_up_all_now(asked, client_settings=asking.settings, deadline_s=1, concurrency=2)
    assert [result.id for result in results] == [reference.id for reference in asked]
    assert isinstance(results[-1], ModelVersionFacts)
    assert reasons(results) == {"not answered within the deadline of 1 s"}


def test_a_hub_that_is_down_is_noticed_and_not_asked_for_every_model(asking: Asking, hubs: HubDouble) -> None:
    hubs.reply_always("/api/models/", Reply(503))
    results = look_up_all_now(
        references(ModelSource.HUGGINGFACE, 100),
        client_settings=asking.settings,
        deadline_s=20,
        concurrency=1,
    )
    assert len(results) == 100 and all(isinstance(result, Deferred) for result in results)
    assert any("is down" in reason for reason in reasons(results))
    assert len(hubs.requests) == 3 * asking.settings.max_attempts


def test_a_few_broken_models_do_not_make_a_hub_count_as_down(asking: Asking, hubs: HubDouble) -> None:
    broken = references(ModelSource.HUGGINGFACE, 2)
    for reference in broken:
        hubs.reply_always(f"/api/models/{reference.id}", Reply(500))
    good = ModelReference(id="org/model", source=ModelSource.HUGGINGFACE)
    asked = [*broken, good, *broken, good]
    results = look_up_all_now(asked, client_settings=asking.settings, deadline_s=20, concurrency=1)
    assert [isinstance(result, ModelVersionFacts) for result in results] == [False, False, True] * 2
    assert not any("is down" in reason for reason in reasons(results))


def test_a_refused_connection_is_told(asking: Asking, hubs: HubDouble) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    asking.change(huggingface=HubAddress(endpoint=AnyHttpUrl(f"http://127.0.0.1:{port}")))
    assert "cannot be reached (ConnectError" in asking.deferred().reason


def test_two_hundred_models_never_exceed_the_concurrency(asking: Asking, hubs: HubDouble) -> None:
    asked = references(ModelSource.HUGGINGFACE, 200)
    hubs.huggingface.update({reference.id: HubModel(reference.id) for reference in asked})
    hubs.latency_s = 0.005
    results = look_up_all_now(asked, client_settings=asking.settings, deadline_s=60)
    assert all(isinstance(result, ModelVersionFacts) for result in results)
    assert 1 < hubs.most_at_once <= 20


def test_a_token_appears_in_no_log_result_or_representation(
    asking: Asking, hubs: HubDouble, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "hf_verysecret")
    hubs.reply_next(INFO, Reply(500), Reply(403))
    with caplog.at_level(logging.DEBUG):
        deferred = asking.deferred()
    address = asking.settings.huggingface
    assert "verysecret" not in f"{caplog.text} {deferred!r} {asking.settings!r} {address.token()!r}"
    assert hubs.requests[0].headers["authorization"] == "Bearer hf_verysecret"


@pytest.mark.parametrize("value", ["hf_very secret", "hf_verysecret\r\nX: 1", "hf_verysecret\u00e9"])
def test_a_value_that_cannot_be_a_token_costs_its_hub_only_and_is_not_repeated(
    asking: Asking, hubs: HubDouble, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, value)
    asking.change(modelscope=HubAddress(endpoint=AnyHttpUrl(hubs.url)))
    reason = asking.deferred().reason
    assert TOKEN_VARIABLE in reason and "very" not in reason
    assert asking.facts("modelscope").revision == "a" * 40


def test_an_endpoint_may_lie_below_a_path(asking: Asking, hubs: HubDouble) -> None:
    asking.change(huggingface=HubAddress(endpoint=AnyHttpUrl(f"{hubs.url}/mirror/")))
    info = b'{"id": "org/model", "sha": "abcdef1", "siblings": [{"rfilename": "x", "size": 1}]}'
    hubs.reply_next("/mirror/api/models/org/model", Reply(body=info))
    assert asking.facts().revision == "abcdef1"


def test_no_references_are_no_results(asking: Asking) -> None:
    assert look_up_all_now([], client_settings=asking.settings, deadline_s=1) == []
