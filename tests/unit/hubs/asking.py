"""A short way to look one model up on the hub double, and to insist on how it ends."""

from __future__ import annotations

from dataclasses import dataclass

from flagrelease_assets.hubs.base import Deferred, ModelReference, ModelVersionFacts
from flagrelease_assets.hubs.lookup import LookupResult, look_up_all_now
from flagrelease_assets.hubs.settings import ClientSettings

TOKEN_VARIABLE = "FLAGRELEASE_TEST_HUB_TOKEN"


@dataclass
class Asking:
    """Look-ups with settings that a test may change for all of them, or for one through `deadline_s`."""

    settings: ClientSettings

    def change(self, **changes: object) -> None:
        self.settings = ClientSettings.model_validate({**self.settings.model_dump(), **changes})

    def facts(
        self,
        source: str = "huggingface",
        *,
        model_id: str = "org/model",
        revision: str | None = None,
        path: str | None = None,
        previous: ModelVersionFacts | None = None,
    ) -> ModelVersionFacts:
        result = self._result(source, model_id, revision, path, previous, 20.0)
        assert isinstance(result, ModelVersionFacts), result
        return result

    def deferred(
        self,
        source: str = "huggingface",
        *,
        model_id: str = "org/model",
        revision: str | None = None,
        path: str | None = None,
        previous: ModelVersionFacts | None = None,
        deadline_s: float = 20.0,
    ) -> Deferred:
        result = self._result(source, model_id, revision, path, previous, deadline_s)
        assert isinstance(result, Deferred), result
        assert "\n" not in result.reason
        return result

    def _result(
        self,
        source: str,
        model_id: str,
        revision: str | None,
        path: str | None,
        previous: ModelVersionFacts | None,
        deadline_s: float,
    ) -> LookupResult:
        reference = ModelReference.model_validate(
            {"id": model_id, "source": source, "revision": revision, "path": path}
        )
        known = {model_id: previous} if previous else None
        (result,) = look_up_all_now(
            [reference], client_settings=self.settings, deadline_s=deadline_s, previous=known
        )
        return result
