"""What the batch layer and the assistant know: asked over HTTP, as their other clients do."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from contracts import service_key
from serving_layer.dashboard.api import ApiError, Json, body_of
from serving_layer.services import Services

_TIMEOUT_SECONDS = 5.0
_ANSWER_SECONDS = 120.0


async def ask_batch(services: Services, path: str, **params: object) -> Json:
    """Return what ``GET path`` of the batch layer's control API answers.

    Raises:
        ApiError: If it does not answer, or refuses.
    """
    base, known = services.settings.batch_url, service_key.headers()
    return await _get(services, "batch layer", base, path, params, known)


async def ask_assistant(services: Services, path: str) -> Json:
    """Return what ``GET path`` of the assistant answers.

    Raises:
        ApiError: If it does not answer, or refuses.
    """
    return await _get(services, "assistant", services.settings.assistant_url, path, {}, {})


async def _get(
    services: Services, name: str, base: str, path: str, params: Json, headers: dict[str, str]
) -> Json:
    url = base.rstrip("/") + path
    given: Any = {key: value for key, value in params.items() if value is not None}
    try:
        response = await services.http.get(
            url, params=given, headers=headers, timeout=_TIMEOUT_SECONDS
        )
    except httpx.HTTPError as error:
        raise ApiError(f"the {name} does not answer at {base}: {_reason(error)}") from error
    return body_of(response)


async def answer_events(
    services: Services, query: Json, credentials: dict[str, str]
) -> AsyncIterator[tuple[str, Json]]:
    """Yield (name, body) of the assistant's server-sent events; the last is ``answer``.

    Args:
        services: The application's parts.
        query: Body of ``POST /query/stream``.
        credentials: Headers with the asker's key: it bounds what the assistant may read.

    Raises:
        ApiError: If it does not answer, refuses, or breaks off.
    """
    base = services.settings.assistant_url.rstrip("/")
    timeout = httpx.Timeout(_ANSWER_SECONDS, connect=_TIMEOUT_SECONDS)
    try:
        async with services.http.stream(
            "POST", f"{base}/query/stream", json=query, timeout=timeout, headers=credentials
        ) as response:
            if not response.is_success:
                await response.aread()
                body_of(response)
            name = ""
            async for line in response.aiter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    yield name, json.loads(line.removeprefix("data: "))
    except (httpx.HTTPError, ValueError) as error:
        raise ApiError(f"the assistant does not answer at {base}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
