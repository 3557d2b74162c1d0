"""Log lines, alike in every service: ``LOG_*`` settings, for a console or as JSON.

A line about a record, a run, a batch or an alert names it in its message, and again as fields
(``extra=at(topic, partition)``), which JSON lines have beside the message. No line at INFO or above
holds personal data; see ``exception_text`` for what becomes of the words of an exception.
"""

import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pythonjsonlogger.json import JsonFormatter

from contracts import request_ids

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

_KNOWN = frozenset(
    {
        "contracts",
        "detection",
        "event_generator",
        "speed_layer",
        "batch_layer",
        "confluent_kafka",
        "cimpl",
        "sqlite3",
    }
)
"""Packages whose exceptions have words without data. Not the serving layer and the assistant:
their exceptions answer requests, and quote them."""

_SETTINGS = ("Settings", "KafkaAccess", "LogSettings")
"""Models of what an operator sets: the words of their errors say how to set it right."""

_CHATTY = ("apscheduler", "httpx", "py4j", "uvicorn.access")
"""Loggers that say at INFO what each request or job does."""


class LogSettings(BaseSettings):
    """How a service writes its log lines."""

    model_config = SettingsConfigDict(
        env_prefix="LOG_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    format: Literal["console", "json"] = Field(
        "console", description="Log lines to read (`console`), or one JSON object each (`json`)."
    )
    level: Level = Field(
        "INFO",
        description="Least severe line that is written. `DEBUG` also writes the words of every "
        "exception, which may hold personal data.",
    )

    @field_validator("format", "level", mode="before")
    @classmethod
    def _any_case(cls, value: object, field: ValidationInfo) -> object:
        if not isinstance(value, str):
            return value
        return value.upper() if field.field_name == "level" else value.lower()


def configure(service: str, least: Level = "DEBUG") -> None:
    """Write this process's log lines to standard error as ``LOG_*`` says.

    Args:
        service: Directory name of the service, such as ``speed-layer``.
        least: Lines below are left out whatever ``LOG_LEVEL`` says; for commands.

    Raises:
        pydantic.ValidationError: a setting is wrong; the message names its variable.
    """
    settings = LogSettings()
    level = max(_number(settings.level), _number(least))
    with_words = settings.level == "DEBUG"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonLines(service, with_words=with_words)
        if settings.format == "json"
        else ConsoleLines(with_words=with_words)
    )
    handler.addFilter(_add_request_id)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught


def at(topic: str, partition: int, offset: int | None = None) -> dict[str, object]:
    """Return the fields of a line about a partition, or about one of its records.

    Examples:
        >>> at("security-events", 1)
        {'topic': 'security-events', 'partition': 1}
    """
    place: dict[str, object] = {"topic": topic, "partition": partition}
    return place if offset is None else {**place, "offset": offset}


class JsonLines(JsonFormatter):
    """One JSON object a line: ``time``, ``level``, ``service``, ``logger``, ``message``, fields."""

    def __init__(self, service: str, *, with_words: bool = False) -> None:
        super().__init__(
            ["asctime", "levelname", "name", "message"],
            rename_fields={
                "asctime": "time",
                "levelname": "level",
                "name": "logger",
                "exc_info": "exception",
            },
            static_fields={"service": service},
        )
        self._with_words = with_words

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002  # logging's signature
        """Return ISO 8601 in UTC with milliseconds."""
        return _iso(record.created)

    def formatException(self, ei: Any) -> str:  # noqa: ANN401  # logging's own type
        """Return the traceback."""
        return exception_text(ei[1], with_words=self._with_words)


class ConsoleLines(logging.Formatter):
    """Time, level, logger and message; the request's id behind it where one is answered."""

    def __init__(self, *, with_words: bool = False) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")
        self._with_words = with_words

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002  # logging's signature
        """Return ISO 8601 in UTC with milliseconds."""
        return _iso(record.created)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line without its traceback."""
        line = super().formatMessage(record)
        known = getattr(record, "request_id", None)
        return f"{line} request_id={known}" if known else line

    def formatException(self, ei: Any) -> str:  # noqa: ANN401  # logging's own type
        """Return the traceback."""
        return exception_text(ei[1], with_words=self._with_words)


def exception_text(error: BaseException | None, *, with_words: bool = False) -> str:
    """Return the traceback of an exception and of those it came from.

    The system's exceptions, Kafka's, SQLite's and those of our layers below the requests are
    written with their words. The words of others often quote the value that was wrong, so only
    their type is written; a failed validation is written with the fields and kinds of its errors,
    that of a setting with what is wrong.

    Args:
        error: The exception.
        with_words: Whether to write the words of all exceptions.
    """
    parts: list[str] = []
    for each in _chain(error):
        frames = "".join(traceback.format_tb(each.__traceback__))
        parts.append(
            f"Traceback (most recent call last):\n{frames}{described(each, with_words=with_words)}"
        )
    return "\n\nwhich led to\n\n".join(parts)


def described(error: BaseException, *, with_words: bool = False) -> str:
    """Return an exception's type, and its words where they hold no personal data.

    Examples:
        >>> described(OSError("disk full")), described(KeyError("ada"))
        ('OSError: disk full', 'KeyError')
    """
    kind = type(error).__qualname__
    if with_words or isinstance(error, OSError) or _root(error) in _KNOWN:
        return f"{kind}: {error}"
    if isinstance(error, ValidationError):
        found = error.errors(include_input=False, include_url=False, include_context=False)
        said: Literal["msg", "type"] = "msg" if error.title in _SETTINGS else "type"
        fields = (f"{'.'.join(map(str, each['loc']))}: {each[said]}" for each in found)
        return f"{kind}: {', '.join(fields)}"
    return kind


def _root(error: BaseException) -> str:
    return type(error).__module__.split(".", 1)[0]


def _chain(error: BaseException | None) -> list[BaseException]:
    """Return the exception and those it came from, oldest first."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.insert(0, error)
        hidden = error.__cause__ is None and error.__suppress_context__
        error = None if hidden else error.__cause__ or error.__context__
    return found


def _add_request_id(record: logging.LogRecord) -> bool:
    known = request_ids.current.get()
    if known is not None:
        record.request_id = known
    return True


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger(__name__).critical("the process ends", exc_info=(kind, error, trace))


def _iso(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _number(level: Level) -> int:
    return logging.getLevelNamesMapping()[level]
