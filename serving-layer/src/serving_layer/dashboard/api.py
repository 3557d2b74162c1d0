"""Pages ask the same routes as every other client, in process: there is no second data path."""

from collections.abc import Mapping
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.requests import Request

Json = dict[str, Any]

_FORWARDED = ("authorization", "cookie", "x-api-key", "x-request-id")
_TIMEOUT_SECONDS = 10.0


class ApiError(Exception):
    """A route refused, or could not answer; the message is for people.

    Attributes:
        status: HTTP status, 0 where nobody answered.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """The application's API as one viewer may use it: credentials and address are the viewer's."""

    def __init__(self, app: FastAPI, request: Request) -> None:
        viewer = request.client
        transport = httpx.ASGITransport(
            app=app,
            raise_app_exceptions=False,
            client=(viewer.host, viewer.port) if viewer else ("0.0.0.0", 0),  # noqa: S104 - unknown, so not loopback
        )
        headers = {name: request.headers[name] for name in _FORWARDED if name in request.headers}
        self._http = httpx.AsyncClient(
            transport=transport,
            base_url=f"http://{request.headers.get('host', '127.0.0.1')}",
            headers=headers,
            timeout=_TIMEOUT_SECONDS,
        )

    async def get(self, path: str, **params: object) -> Json:
        """Return what ``GET path`` answers; parameters that are None are left out.

        Raises:
            ApiError: If it does not answer 200.
        """
        given: Any = {name: value for name, value in params.items() if value is not None}
        return body_of(await self._http.get(path, params=given))

    async def post(self, path: str, body: Mapping[str, Any], **params: Any) -> Json:  # noqa: ANN401
        """Return what ``POST path`` answers.

        Raises:
            ApiError: If it refuses.
        """
        return body_of(await self._http.post(path, json=dict(body), params=params))


def body_of(response: httpx.Response) -> Json:
    """Return the JSON object of an answer.

    Raises:
        ApiError: If the answer is an error, with the words of its problem details.
    """
    try:
        body = response.json()
    except ValueError:
        body = None
    if response.is_success and isinstance(body, dict):
        return body
    raise ApiError(_words(body) or f"status {response.status_code}", response.status_code)


def _words(body: object) -> str:
    """Return what an error body says: problem details, or the batch layer's own form."""
    if not isinstance(body, dict):
        return ""
    said = body.get("detail") or body.get("message") or body.get("reason") or body.get("title")
    return said if isinstance(said, str) else ""
