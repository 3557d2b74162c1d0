"""Requests made from the OpenAPI document, valid and invalid ones: never a server error.

``make test`` asks over a thousand; ``SCHEMA_EXAMPLES=100`` asks many thousands.
"""

import os
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, openapi

from serving_layer.testing import RunPartition, event_record, publish_run, user_record

TOPIC = "security-events"
EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "24"))
"""Requests of each call; a sixth as many wrong ones, which take far longer to make."""
SETTINGS = settings(
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
SKIPPED = {
    ("GET", "/api/alerts/stream"),  # never ends; see test_alert_stream
    ("POST", "/api/sql"),  # a process each; see test_sql
    ("POST", "/api/generate-test-data"),  # waits for a broker; see test_api
}
MAY_BE_UNAVAILABLE = ("/api/spark-metrics", "/api/backtests")
"""They ask the batch layer, and there is none: 503 is their answer then."""


@pytest.fixture(scope="module")
def api(shared):
    records = [event_record(n, is_anomaly=n % 2 == 0) for n in range(8)]
    run = RunPartition(TOPIC, 0, records[:4], 4)
    publish_run(shared.lake, "r1", [run], [user_record("alice")])
    shared.speed.partition(TOPIC, 0).append(records)
    return shared.start(sql_enabled=True)


@pytest.mark.parametrize(
    ("mode", "examples", "least"),
    [
        pytest.param(GenerationMode.POSITIVE, EXAMPLES, 1_000, id="valid"),
        pytest.param(GenerationMode.NEGATIVE, EXAMPLES // 6, 120, id="wrong"),
    ],
)
def test_no_request_is_a_server_error(api, mode, examples, least):
    schema = openapi.from_dict(api.json("/openapi.json"))
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        call = (operation.method.upper(), operation.path)
        if call not in SKIPPED:
            asked += ask(api, operation, mode, examples)

    assert asked > least


def ask(api, operation, mode, examples):
    """Ask one call in many ways; return in how many."""
    asked = 0

    @settings(SETTINGS, max_examples=examples)
    @given(case=operation.as_strategy(generation_mode=mode))
    def each(case):
        nonlocal asked
        asked += 1
        response = sent(api, case)
        if response is None:
            return
        if response.status_code == 503:
            assert operation.path.startswith(MAY_BE_UNAVAILABLE), response.text
        else:
            assert response.status_code < 500, f"{case.as_curl_command()}: {response.text}"
        if response.status_code >= 400:
            assert response.headers["content-type"] == "application/problem+json"

    with suppress(Unsatisfiable):  # a call without parameters cannot be asked wrongly
        each()
    return asked


def sent(api, case):
    """Send a request; None for one that HTTP itself cannot carry."""
    values = case.as_transport_kwargs(base_url=api.server.url)
    names = ("method", "url", "params", "json", "data", "headers", "cookies")
    given_values = {name: values[name] for name in names if values.get(name) is not None}
    if isinstance(data := given_values.pop("data", None), str | bytes):
        given_values["content"] = data
    given_values.pop("cookies", None)
    try:
        request = api.http.build_request(**given_values)
    except (UnicodeEncodeError, ValueError, TypeError):
        return None
    # Headers that would change how the message itself is read are not what is tested.
    for name in ("host", "content-length", "transfer-encoding", "connection", "expect"):
        if name in (values.get("headers") or {}):
            return None
    return api.http.send(request)
