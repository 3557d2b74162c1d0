"""Traces by OpenTelemetry, off unless ``OTEL_EXPORTER_OTLP_ENDPOINT`` names a collector.

While they are off nothing of OpenTelemetry is imported, no request is wrapped and no header of a
record is read. How they are sampled, sent and named follows OpenTelemetry's own ``OTEL_*``
variables. Spans hold routes, topics, numbers and request ids; no path, query or record.
"""

import os
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from contracts import request_ids
from contracts.request_ids import AsgiApp, OutgoingRequest, Receive, Scope, Send

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Link, Span

HEADER = "traceparent"
"""W3C Trace Context, in HTTP and in Kafka: https://www.w3.org/TR/trace-context/"""

MOST_LINKS = 32
"""Producers' spans that one span of many records is linked to."""

Headers = tuple[tuple[str, str], ...]

_WIRE = HEADER.encode()
_SWITCHES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_QUIET = ("/metrics", "/health", "/api/health")


class Traces:
    """Makes this process's spans."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = provider.get_tracer("streamguard")
        self._propagator = TraceContextTextMapPropagator()
        self._kinds = SpanKind

    @contextmanager
    def produced(self, topic: str, count: int | None = None) -> Iterator[Headers]:
        """Give the headers for records made within one span.

        Args:
            topic: Where they go.
            count: How many they are, where that is known.
        """
        attributes = _messaging("send", topic, count)
        with self._span(f"send {topic}", kind=self._kinds.PRODUCER, attributes=attributes):
            yield self.headers()

    @contextmanager
    def processed(
        self, topic: str, partition: int, parents: Iterable[bytes], count: int
    ) -> Iterator["Span"]:
        """Measure a micro-batch in one span, linked to what made its records.

        Args:
            topic: Where they come from.
            partition: Its partition.
            parents: Their ``traceparent`` headers; see ``distinct_parents``.
            count: Records of the micro-batch.
        """
        attributes = {
            **_messaging("process", topic, count),
            "messaging.destination.partition.id": str(partition),
        }
        with self._span(
            f"process {topic}",
            kind=self._kinds.CONSUMER,
            attributes=attributes,
            links=list(self._links(parents)),
        ) as span:
            yield span

    def headers(self) -> Headers:
        """Return the headers that carry the current span."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return tuple(carrier.items())

    @contextmanager
    def answered(self, method: str, parent: str | None) -> Iterator["Span"]:
        """Measure a request in one span, below the caller's if it sent one."""
        context = self._propagator.extract({HEADER: parent} if parent else {})
        attributes = {"http.request.method": method}
        if known := request_ids.current.get():
            attributes["streamguard.request_id"] = known
        with self._span(
            method, context=context, kind=self._kinds.SERVER, attributes=attributes
        ) as span:
            yield span

    def _span(self, name: str, **options: Any) -> "AbstractContextManager[Span]":  # noqa: ANN401
        """Open a span that keeps no exception: its words may quote records."""
        return self._tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False, **options
        )

    def _links(self, parents: Iterable[bytes]) -> Iterator["Link"]:
        from opentelemetry import trace

        for parent in parents:
            context = self._propagator.extract({HEADER: parent.decode("latin-1")})
            found = trace.get_current_span(context).get_span_context()
            if found.is_valid:
                yield trace.Link(found)


def distinct_parents(headers: Iterable[Iterable[tuple[str, bytes]] | None]) -> list[bytes]:
    """Return the first ``MOST_LINKS`` different ``traceparent`` headers of records.

    Args:
        headers: Each record's headers; None for none.

    Examples:
        >>> distinct_parents([None, [("traceparent", b"00-1")], [("traceparent", b"00-1")]])
        [b'00-1']
    """
    found: dict[bytes, None] = {}
    for each in headers:
        for name, value in each or ():
            if name == HEADER and value:
                found[value] = None
        if len(found) >= MOST_LINKS:
            break
    return list(found)


_process: Traces | None = None


def current() -> Traces | None:
    """Return this process's traces; None while they are off."""
    return _process


def is_on() -> bool:
    """Return whether the environment asks for traces."""
    is_disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not is_disabled and any(os.environ.get(name) for name in _SWITCHES)


def configure(service: str) -> None:
    """Switch traces on if the environment asks for them.

    Args:
        service: Name of the service in its spans, unless ``OTEL_SERVICE_NAME`` names it.
    """
    if not is_on():
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME") or service}
    provider = TracerProvider(resource=Resource.create(named))  # it flushes at exit
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    use(provider)


def use(provider: "TracerProvider | None") -> None:
    """Have this process's spans made by ``provider``; None switches them off."""
    global _process  # one per process, as the log is
    _process = None if provider is None else Traces(provider)


def producing(topic: str) -> AbstractContextManager[object]:
    """Open a span for records that are sent one by one; none while traces are off."""
    return nullcontext() if _process is None else _process.produced(topic)


def current_headers() -> list[tuple[str, str | bytes | None]]:
    """Return the headers that carry the current span; none while traces are off."""
    return [] if _process is None else list(_process.headers())


async def forward(request: OutgoingRequest) -> None:
    """Add the current span to a request of our own; an httpx hook, which does nothing while off."""
    if _process is not None:
        for name, value in _process.headers():
            request.headers[name] = value


class TracedRequests:
    """ASGI middleware: one span for each request, named after its route, not its path."""

    def __init__(self, app: AsgiApp, traces: Traces) -> None:
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_QUIET):
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == _WIRE), None)
        parent = None if given is None else given.decode("latin-1")
        with self._traces.answered(scope["method"], parent) as span:

            async def watched(message: MutableMapping[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    _describe(span, scope, message["status"])
                await send(message)

            await self._app(scope, receive, watched)


def install(app: Any) -> None:  # noqa: ANN401  # a Starlette application, which this leaf does not know
    """Trace an application's requests if traces are on; call it before ``request_ids.install``."""
    traces = _process
    if traces is None:
        return
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: TracedRequests(build(), traces)


def _describe(span: "Span", scope: Scope, status: int) -> None:
    from opentelemetry.trace import StatusCode

    route = getattr(scope.get("route"), "path", None)
    if route is not None:
        span.update_name(f"{scope['method']} {route}")
        span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(StatusCode.ERROR)


def _messaging(operation: str, topic: str, count: int | None) -> dict[str, str | int]:
    """Return attributes by OpenTelemetry's conventions for messaging."""
    attributes: dict[str, str | int] = {
        "messaging.system": "kafka",
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
    }
    return attributes if count is None else {**attributes, "messaging.batch.message_count": count}
