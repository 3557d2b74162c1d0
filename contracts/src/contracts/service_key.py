"""One key between services: ``SERVICE_*`` settings, alike for all of them.

The serving layer gives people and programs keys of their own. The speed layer and the control API
of the batch layer are asked by other services and by operators, and know one key that all of them
share. Without one they trust their network.
"""

import hmac
import json
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.request_ids import AsgiApp, Receive, Scope, Send

OPEN_PATHS = frozenset({"/health", "/metrics"})
"""Answered without the key: supervisors and Prometheus ask them, and they name nobody."""

_LEAST_CHARACTERS = 16
NO_KEY = "this service asks for a key: send SERVICE_KEY as `Authorization: Bearer KEY`"


class ServiceKey(BaseSettings):
    """The key that services show each other."""

    model_config = SettingsConfigDict(
        env_prefix="SERVICE_",
        env_file=".env",
        # Compose names the variables with nothing behind them.
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    key: SecretStr | None = Field(
        None,
        description="What the speed layer and the batch layer ask of who calls them, and what "
        "services and commands send them; at least 16 characters. Without it they ask for nothing.",
    )
    key_file: Path | None = Field(
        None, description="A file that holds it instead; its last line break is dropped."
    )

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if self.key_file is not None and not self.key_file.exists():
            raise ValueError(f"SERVICE_KEY_FILE: no file {self.key_file}")
        if 0 < len(self.text) < _LEAST_CHARACTERS:
            raise ValueError(f"SERVICE_KEY: shorter than {_LEAST_CHARACTERS} characters")
        return self

    @property
    def text(self) -> str:
        """The key, from its variable or file; empty when there is none."""
        if self.key is not None:
            return self.key.get_secret_value()
        if self.key_file is not None:
            return self.key_file.read_text(encoding="utf-8").removesuffix("\n")
        return ""


@cache
def service_key() -> str:
    """Return the process's key, read once; empty when there is none.

    Raises:
        pydantic.ValidationError: a setting is wrong; the message names its variable.
    """
    return ServiceKey().text


def headers() -> dict[str, str]:
    """Return what a call to another service carries; empty when there is no key."""
    key = service_key()
    return {"authorization": f"Bearer {key}"} if key else {}


class KeyCheck:
    """ASGI middleware: refuses a request that does not carry the key."""

    def __init__(self, app: AsgiApp, key: str) -> None:
        self._app = app
        self._wanted = f"Bearer {key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._may_pass(scope):
            await self._app(scope, receive, send)
            return
        status = HTTPStatus.UNAUTHORIZED
        # The keys of an error of the batch layer, and that of one of the speed layer.
        said = {"error": status.name, "message": NO_KEY, "timestamp": _now(), "detail": NO_KEY}
        body = json.dumps(said).encode()
        lines = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"www-authenticate", b"Bearer"),
        ]
        await send({"type": "http.response.start", "status": status.value, "headers": lines})
        await send({"type": "http.response.body", "body": body})

    def _may_pass(self, scope: Scope) -> bool:
        if scope["path"] in OPEN_PATHS:
            return True
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return hmac.compare_digest(given, self._wanted)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def install(app: Any) -> None:  # noqa: ANN401  # a Starlette application, which this leaf does not know
    """Put ``KeyCheck`` around an application, if this process has a key."""
    key = service_key()
    if not key:
        return
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: KeyCheck(build(), key)
