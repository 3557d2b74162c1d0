"""From a record's producer to the alert it leads to, over a real broker and a real exporter."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from confluent_kafka import Producer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from speed_layer.testing import wait_for
from speed_layer.tracing import traced

ACTIVITY = "user-events"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def collector():
    """Receive OTLP over HTTP; the server has the spans that came, each with its service."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = {a.key: a.value.string_value for a in resource.resource.attributes}
                for scope in resource.scope_spans:
                    server.spans += [(service["service.name"], span) for span in scope.spans]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.spans = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.integration
def test_an_alert_carries_a_trace_that_is_linked_to_its_records_producer(
    new_fork, broker, collector, read_topic
):
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for number in range(3):  # failed logins: a burst, which raises an alert
        event = {
            "userId": "traced",
            "eventType": "USER_LOGIN_FAILED",
            "timestamp": f"2026-01-02T03:04:0{number}",
            "sessionId": str(number),
        }
        producer.produce(ACTIVITY, json.dumps(event), headers={"traceparent": PARENT})
    assert producer.flush(30) == 0

    def alert_header():
        found = [m for m in read_topic("security-alerts") if m.key() == b"traced"]
        return dict(found[0].headers() or [])["traceparent"].decode() if found else None

    settings = {
        "SPEED_TOPICS": ACTIVITY,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    process = new_fork(**settings).start()
    header = wait_for("the alert", alert_header, every=0.5)
    _, trace, span_id, _ = header.split("-")

    def spans_of_the_alert():
        found = {
            span.name: span
            for service, span in list(collector.spans)
            if span.trace_id.hex() == trace and service == "speed-layer"
        }
        return len(found) == 2 and found

    spans = wait_for("both spans", spans_of_the_alert)
    assert process.stop() == 0

    sent, processed = spans["send security-alerts"], spans[f"process {ACTIVITY}"]
    assert sent.span_id.hex() == span_id
    assert sent.parent_span_id == processed.span_id
    assert {link.trace_id.hex() for link in processed.links} == {TRACE}
    assert "traced" not in str(processed.attributes) + str(sent.attributes)


class Unread:
    """A record whose headers nobody may read."""

    def headers(self):
        raise AssertionError("traces are off")


def test_while_traces_are_off_no_header_is_read():
    with traced((ACTIVITY, 0), [Unread()]):
        pass
