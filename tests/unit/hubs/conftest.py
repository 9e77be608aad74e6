"""A running hub double and look-ups that are pointed at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import AnyHttpUrl

from flagrelease_assets.hubs.settings import ClientSettings, HubAddress
from tests.doubles.hub_double import HubDouble
from tests.unit.hubs.asking import TOKEN_VARIABLE, Asking


@pytest.fixture
def hubs(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubDouble]:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with HubDouble() as double:
        yield double


@pytest.fixture
def asking(hubs: HubDouble) -> Asking:
    address = HubAddress(endpoint=AnyHttpUrl(hubs.url), token_variable=TOKEN_VARIABLE)
    return Asking(ClientSettings(huggingface=address, modelscope=address, backoff_s=0.01, backoff_max_s=0.05))
