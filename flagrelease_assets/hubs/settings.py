"""How the hubs are reached: addresses, names of token variables, limits.

Belongs here: settings that a deployment may change, and their defaults.
Does not belong here: the requests themselves, and token values outside of a `SecretStr`.
"""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr

from flagrelease_assets.hubs.problem import LookupProblem

Seconds = Annotated[float, Field(gt=0)]


_THIS_MACHINE = ("127.0.0.1", "[::1]", "localhost")


class HubAddress(BaseModel):
    """One hub: the base URL of its API and the environment variable that may hold a token for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: AnyHttpUrl
    token_variable: str | None = None

    def token(self) -> SecretStr | None:
        """Read the token from the environment now; None where there is none.

        Raises `LookupProblem` where the value cannot be a token, so that it never reaches an HTTP library
        whose error message would repeat it, and where it would cross a network unencrypted.
        """
        value = os.environ.get(self.token_variable, "").strip() if self.token_variable else ""
        if not value:
            return None
        if not (value.isascii() and value.isprintable()) or " " in value or ";" in value:
            raise LookupProblem(
                f"the value of {self.token_variable} is not a token (blank, control or non-ASCII characters "
                "inside); set it to the token alone"
            )
        if self.endpoint.scheme != "https" and self.endpoint.host not in _THIS_MACHINE:
            raise LookupProblem(
                f"{self.endpoint} is not https, and a token is sent over nothing else; "
                f"give an https endpoint or unset {self.token_variable}"
            )
        return SecretStr(value)


class ClientSettings(BaseModel):
    """Addresses of the hubs and the limits of each exchange with them.

    `request_timeout_s` bounds one request with its redirects and body; `backoff_s` is the first wait of the
    exponential back-off and `backoff_max_s` its cap (a hub's own Retry-After is honoured beyond it);
    `max_body_bytes` bounds a decoded answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    huggingface: HubAddress = HubAddress(
        endpoint=AnyHttpUrl("https://huggingface.co"), token_variable="HF_TOKEN"
    )
    modelscope: HubAddress = HubAddress(
        endpoint=AnyHttpUrl("https://modelscope.cn"), token_variable="MODELSCOPE_API_TOKEN"
    )
    connect_timeout_s: Seconds = 10.0
    request_timeout_s: Seconds = 30.0
    max_attempts: int = Field(default=4, ge=1)
    backoff_s: Seconds = 0.5
    backoff_max_s: Seconds = 15.0
    max_body_bytes: int = Field(default=10_000_000, gt=0)
    max_redirects: int = Field(default=5, ge=0)
