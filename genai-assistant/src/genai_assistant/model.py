"""The language model: an OpenAI-compatible chat endpoint that may be absent, slow or hostile."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Protocol

import openai

from genai_assistant.breaker import Breaker
from genai_assistant.errors import ModelError
from genai_assistant.metrics import Metrics
from genai_assistant.settings import Settings
from genai_assistant.usage import NOTHING, Usage

Foreign = Any
"""What the client library made of a server's bytes: it does not check them."""

CHARS_PER_TOKEN = 4
MAX_REPLY_CHARS = 8_000
NO_KEY = "none"
"""The client library refuses an empty key, also for local servers that want none."""


_JSON: Any = {"type": "json_object"}
"""How OpenAI, vLLM, Ollama and llama.cpp alike are asked for JSON."""


class _RefusedError(ModelError):
    """The server does not take the request: perhaps it knows no ``response_format``."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model wrote, and what it cost."""

    text: str
    usage: Usage


class ChatModel(Protocol):
    """Something that rewords."""

    name: str
    last_error: str | None

    async def complete(self, messages: list[dict[str, str]]) -> Reply:
        """Return the model's text, or raise ModelError."""
        ...

    async def close(self) -> None:
        """Release its connections."""
        ...


class OpenAIModel:
    """``ChatModel`` over any OpenAI-compatible server."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else ""
        self.name = settings.openai_model
        self.last_error: str | None = None
        self._takes_json = True
        self._settings = settings
        self._metrics = metrics
        self._breaker = Breaker(settings.model_breaker_failures, settings.model_breaker_seconds)
        self._places = asyncio.Semaphore(settings.model_concurrency)
        self._client = openai.AsyncOpenAI(
            api_key=key.strip() or NO_KEY,
            base_url=settings.openai_base_url or "https://api.openai.com/v1",
            timeout=settings.model_timeout_seconds,
            max_retries=1,
        )

    async def complete(self, messages: list[dict[str, str]]) -> Reply:
        """Ask for one completion.

        Raises:
            ModelError: For every failure, with a reason that holds nothing of the reply, and with
                what an unusable reply cost.
        """
        if self._breaker.is_open():
            self._metrics.model_requests.labels("skipped").inc()
            raise ModelError("model failed repeatedly and is left alone for a while")
        started = time.perf_counter()
        status = "error"
        try:
            answer = await self._ask_in_time(messages)
            # Before the reply is judged: one without text is billed like any other.
            usage = self._account(answer, messages)
            text = _text_of(answer, usage)
            status = "ok"
        except ModelError as error:
            self.last_error = str(error)
            self._breaker.failed()
            raise
        finally:
            seconds = time.perf_counter() - started
            self._metrics.model_duration.observe(seconds)
            self._metrics.operation_duration.labels("chat", self.name, status).observe(seconds)
            self._metrics.model_requests.labels(status).inc()
        self.last_error = None
        self._breaker.succeeded()
        return Reply(text, usage)

    async def close(self) -> None:
        """Close the connection pool."""
        await self._client.close()

    async def _ask_in_time(self, messages: list[dict[str, str]]) -> Foreign:
        try:
            # Waiting for a free place counts towards the deadline.
            async with asyncio.timeout(self._settings.model_deadline_seconds), self._places:
                return await self._ask(messages)
        except TimeoutError as error:
            raise ModelError("model missed the deadline") from error

    async def _ask(self, messages: list[dict[str, str]]) -> Foreign:
        """Ask for JSON; of a server that refuses that, for text, and from then on for text alone."""
        if self._takes_json:
            try:
                return await self._create(messages, _JSON)
            except _RefusedError:
                answer = await self._create(messages, openai.omit)
                self._takes_json = False
                return answer
        return await self._create(messages, openai.omit)

    async def _create(self, messages: list[dict[str, str]], form: Any) -> Foreign:  # noqa: ANN401
        request: Any = messages
        try:
            return await self._client.chat.completions.create(
                model=self.name,
                messages=request,
                temperature=0,
                max_tokens=self._settings.model_max_tokens,
                response_format=form,
            )
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            raise _RefusedError(f"model answered HTTP {error.status_code}") from error
        except openai.APITimeoutError as error:
            raise ModelError("model timed out") from error
        except openai.APIConnectionError as error:
            raise ModelError("model unreachable") from error
        except openai.APIStatusError as error:
            raise ModelError(f"model answered HTTP {error.status_code}") from error
        # The library parses foreign bytes without checking them, so any error may come out.
        except Exception as error:
            raise ModelError(f"model reply unreadable ({type(error).__name__})") from error

    def _account(self, answer: Foreign, messages: list[dict[str, str]]) -> Usage:
        usage = getattr(answer, "usage", None)
        reported = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
        prompt, completion = (one if _is_count(one) else None for one in reported)
        if prompt is None and completion is None and not _has_choices(answer):
            return NOTHING  # a page or an error, not a completion
        is_estimated = prompt is None or completion is None
        if prompt is None:
            prompt = sum(len(one["content"]) for one in messages) // CHARS_PER_TOKEN
        if completion is None:
            completion = len(_content_of(answer) or "") // CHARS_PER_TOKEN
        prices = self._settings.model_prices.get(self.name, (0.0, 0.0))
        cost = (prompt * prices[0] + completion * prices[1]) / 1_000_000
        self._metrics.model_tokens.labels("prompt").inc(prompt)
        self._metrics.model_tokens.labels("completion").inc(completion)
        self._metrics.model_cost.inc(cost)
        self._metrics.token_usage.labels("chat", self.name, "input").observe(prompt)
        self._metrics.token_usage.labels("chat", self.name, "output").observe(completion)
        return Usage(prompt, completion, cost, is_estimated)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9


def _has_choices(answer: Foreign) -> bool:
    choices = getattr(answer, "choices", None)
    return isinstance(choices, list) and bool(choices)


def _content_of(answer: Foreign) -> str | None:
    """Return the first choice's text; the library does not validate what servers send."""
    if not _has_choices(answer):
        return None
    content = getattr(getattr(answer.choices[0], "message", None), "content", None)
    return content if isinstance(content, str) else None


def _text_of(answer: Foreign, usage: Usage) -> str:
    if not _has_choices(answer):
        raise ModelError("model reply has no choices", usage)
    content = _content_of(answer)
    if content is None or not content.strip():
        raise ModelError("model reply has no text", usage)
    return content[:MAX_REPLY_CHARS]
