"""Read-only calls to the serving layer, and the one write the analyst makes."""

import time
from collections.abc import Mapping
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, SecretStr, ValidationError

from contracts import request_ids, traces
from contracts.api import Analysis
from genai_assistant.callers import credentials
from genai_assistant.errors import (
    BadAnswerError,
    NotFoundError,
    RefusedError,
    ServingError,
    UnreachableError,
)
from genai_assistant.evidence import Source
from genai_assistant.metrics import Metrics

Body = TypeVar("Body", bound=BaseModel)
Params = dict[str, str | int | float | bool | None]


def bounded_client(
    base_url: str, timeout_seconds: float, headers: Mapping[str, str] | None = None
) -> httpx.AsyncClient:
    """Open a connection pool to a service of ours; proxies of the environment do not apply.

    What is asked carries the id, and the span, of the request that it is asked for.
    """
    hooks = {"request": [request_ids.forward, traces.forward]}
    return httpx.AsyncClient(
        base_url=base_url,
        timeout=timeout_seconds,
        trust_env=False,
        event_hooks=hooks,
        headers=headers,
    )


class ServingClient:
    """The serving layer as typed answers or typed errors.

    With ``sends_credentials=False`` it is a service that knows no caller's keys: it is shown none.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        metrics: Metrics,
        key: SecretStr | None = None,
        *,
        sends_credentials: bool = True,
    ) -> None:
        self._sends_credentials = sends_credentials
        self._http = http
        self._metrics = metrics
        self._key = key

    async def get(self, path: str, body: type[Body], params: Params, source: Source) -> Body:
        """Fetch ``path`` as ``body``; parameters that are None are left out.

        Raises:
            UnreachableError: If there is no answer, or a server error.
            NotFoundError: If the serving layer does not know the thing.
            RefusedError: If the key that came with the question may not read this.
            BadAnswerError: If it answers something else.
        """
        started = time.perf_counter()
        status = "error"
        try:
            answer = body.model_validate_json(await self._fetch(path, params))
            status = "ok"
        except NotFoundError:
            status = "not_found"
            raise
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise BadAnswerError(f"{path}: {where}: {first['msg']}") from error
        finally:
            self._metrics.source_duration.labels(source).observe(time.perf_counter() - started)
            self._metrics.source_requests.labels(source, status).inc()
        return answer

    async def _fetch(self, path: str, params: Params) -> bytes:
        given = {name: value for name, value in params.items() if value is not None}
        headers = credentials(self._key) if self._sends_credentials else {}
        try:
            response = await self._http.get(path, params=given, headers=headers)
        except httpx.HTTPError as error:
            raise UnreachableError(f"{path}: {type(error).__name__}") from error
        if response.status_code == httpx.codes.NOT_FOUND:
            raise NotFoundError(path)
        if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise RefusedError(path, response.status_code)
        if response.is_server_error:
            raise UnreachableError(f"{path}: HTTP {response.status_code}")
        if not response.is_success:
            raise BadAnswerError(f"{path}: HTTP {response.status_code}")
        return response.content

    async def is_ok(self, path: str) -> bool:
        """Return whether ``path`` answers with success."""
        try:
            response = await self._http.get(path)
        except httpx.HTTPError:
            return False
        return response.is_success

    async def write_analysis(self, analysis: Analysis) -> None:
        """Store an analysis; writing the same id again changes nothing.

        Raises:
            ServingError: If it was not stored.
        """
        body: dict[str, Any] = analysis.model_dump(mode="json")
        try:
            response = await self._http.post(
                "/api/analyses", json=body, headers=credentials(self._key)
            )
        except httpx.HTTPError as error:
            raise UnreachableError(f"/api/analyses: {type(error).__name__}") from error
        if not response.is_success and response.status_code != httpx.codes.CONFLICT:
            raise ServingError(f"/api/analyses: HTTP {response.status_code}")
