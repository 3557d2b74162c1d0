"""Calls to the services: where they are, with which key, and what their refusals mean."""

import argparse
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from streamguard_cli.errors import ServiceError
from streamguard_cli.output import printable

Json = dict[str, Any]

URL = "STREAMGUARD_URL"
KEY = "STREAMGUARD_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8081"
PAGE_ROWS = 1_000

_TIMEOUT_SECONDS = 30.0
_WORDS_OF_A_BODY = 500
_NEEDS_KEY = 401


def _credentials() -> dict[str, str]:
    key = os.environ.get(KEY)
    return {"Authorization": f"Bearer {key}"} if key else {}


@dataclass(frozen=True, slots=True)
class Service:
    """One service's REST API."""

    url: str
    credentials: Mapping[str, str] = field(default_factory=_credentials, kw_only=True)

    def get(self, path: str, **params: object) -> Json:
        """Return what ``GET path`` answers; parameters that are None are left out.

        Raises:
            ServiceError: If it does not answer, or refuses; a refusal names the parameter.
        """
        return self._call("GET", path, params=_given(params))

    def post(
        self, path: str, body: Mapping[str, Any], timeout_seconds: float | None = None
    ) -> Json:
        """Return what ``POST path`` answers.

        Raises:
            ServiceError: If it does not answer, or refuses.
        """
        return self._call(
            "POST", path, json=dict(body), timeout=timeout_seconds or _TIMEOUT_SECONDS
        )

    def rows(self, path: str, limit: int, **params: object) -> Json:
        """Return the first ``limit`` rows of a list, over as many pages as that takes.

        The body is that of the last page, with the rows of all of them in ``data``.
        """
        found: list[Json] = []
        cursor: str | None = None
        while True:
            asked = min(limit - len(found), PAGE_ROWS)
            body = self.get(path, limit=asked, cursor=cursor, **params)
            found += body["data"]
            cursor = body.get("next_cursor")
            if cursor is None or len(found) >= limit:
                return {**body, "data": found}

    @contextmanager
    def stream(
        self, path: str, headers: Mapping[str, str], timeout: httpx.Timeout, **params: object
    ) -> Iterator[httpx.Response]:
        """Open a stream of server-sent events.

        Raises:
            ServiceError: If the service refuses.
            httpx.TransportError: If it does not answer, or the stream breaks off.
        """
        with (
            httpx.Client(headers={**self.credentials, **headers}, timeout=timeout) as client,
            client.stream("GET", self._address(path), params=_given(params)) as response,
        ):
            if not response.is_success:
                response.read()
                raise ServiceError(refusal(response))
            yield response

    def _call(self, method: str, path: str, **options: Any) -> Json:  # noqa: ANN401 - httpx's
        options.setdefault("timeout", _TIMEOUT_SECONDS)
        address = self._address(path)
        try:
            response = httpx.request(method, address, headers=dict(self.credentials), **options)
            if not response.is_success:
                raise ServiceError(refusal(response))
            body: Json = response.json()
        except httpx.InvalidURL as error:
            raise ServiceError(f"{self.url} is no URL: {error}") from error
        except (httpx.HTTPError, ValueError) as error:
            raise ServiceError(f"{address}: {error}") from error
        return body

    def _address(self, path: str) -> str:
        return self.url.rstrip("/") + path


def refusal(response: httpx.Response) -> str:
    """Return why a service refused: its words, which name the parameter where one is wrong."""
    try:
        body = response.json()
    except ValueError:
        body = None
    words = response.text[:_WORDS_OF_A_BODY]
    if isinstance(body, dict):
        detail = body.get("detail") or body.get("message") or body.get("reason")
        words = _fields(detail) if isinstance(detail, list) else str(detail or words)
    hint = f"; set {KEY}" if response.status_code == _NEEDS_KEY else ""
    return f"{printable(words)} ({response.status_code}){hint}"


def _fields(errors: list[Json]) -> str:
    """Return FastAPI's own list of errors as text: which field, and what is wrong with it."""
    return "; ".join(
        f"{'.'.join(str(part) for part in each.get('loc', ())[1:])}: {each.get('msg')}"
        for each in errors
    )


def _given(params: Mapping[str, object]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def add_flags(
    parser: argparse.ArgumentParser, setting: str = URL, default: str = DEFAULT_URL
) -> None:
    """Add ``--url`` and ``--json``. The key has no flag: other users can read a command line."""
    parser.add_argument(
        "--url", default=os.environ.get(setting, default), help=f"{setting}, default: {default}"
    )
    parser.add_argument("--json", action="store_true", help="print what the API answers")
