import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from contracts import request_ids, traces

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def spans():
    """Switch traces on, with all spans in memory."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traces.use(provider)
    yield exporter.get_finished_spans
    traces.use(None)
    provider.shutdown()


class Route:
    path = "/api/users/{user}"


class Request:
    def __init__(self):
        self.headers = {}


class App:
    """As much of a Starlette application as is wrapped."""

    def __init__(self):
        self.asked = Request()

    async def answer(self, scope, receive, send):
        scope["route"] = Route()
        await traces.forward(self.asked)
        await send({"type": "http.response.start", "status": 500, "headers": []})

    def build_middleware_stack(self):
        return self.answer


def run(coroutine):
    with pytest.raises(StopIteration):
        coroutine.send(None)


def asked(path="/api/users/ada.lovelace", headers=()):
    """Return an application that answered one request."""
    app = App()
    traces.install(app)
    request_ids.install(app)
    scope = {"type": "http", "method": "GET", "path": path, "headers": list(headers)}

    async def send(_):
        pass

    run(app.build_middleware_stack()(scope, None, send))
    return app


def test_a_request_is_a_span_below_its_callers_and_hands_itself_on(spans):
    app = asked(headers=[(b"traceparent", PARENT.encode()), (b"x-request-id", b"ticket-17")])
    [span] = spans()

    assert span.name == "GET /api/users/{user}"
    assert format(span.context.trace_id, "032x") == TRACE
    assert format(span.parent.span_id, "016x") == SPAN
    assert app.asked.headers["traceparent"] == f"00-{TRACE}-{span.context.span_id:016x}-01"
    assert span.attributes["streamguard.request_id"] == "ticket-17"
    assert not span.status.is_ok
    assert "ada.lovelace" not in span.to_json()


def test_a_probe_is_no_span(spans):
    asked("/metrics")

    assert spans() == ()


def test_while_off_nothing_is_wrapped_and_nothing_is_sent():
    app = asked(headers=[(b"traceparent", PARENT.encode())])

    assert app.asked.headers == {}
    assert traces.current() is None


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param({}, False, id="nothing"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False, id="empty-as-compose-passes-it"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True, id="endpoint"),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"},
            False,
            id="disabled",
        ),
    ],
)
def test_the_endpoint_switches_them_on(monkeypatch, environment, expected):
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert traces.is_on() is expected


def test_a_micro_batch_is_one_span_linked_to_a_bounded_number_of_producers(spans):
    parents = [f"00-{TRACE}-{number:016x}-01".encode() for number in range(1, 1000)]
    records = [[("traceparent", parent)] for parent in parents for _ in range(2)]
    found = traces.distinct_parents(records)
    with (
        traces.current().processed("security-events", 1, [*found, b"damaged"], len(records)),
        traces.current().produced("security-alerts", 1) as headers,
    ):
        pass
    alert, batch = spans()

    assert len(batch.links) == traces.MOST_LINKS
    assert batch.links[0].context.span_id == 1
    assert batch.attributes["messaging.batch.message_count"] == 1998
    assert alert.parent.span_id == batch.context.span_id
    assert dict(headers)["traceparent"].split("-")[2] == format(alert.context.span_id, "016x")
