"""Whatever bytes arrive: a value comes out or the documented error, and nothing else."""

import json
import re
from contextlib import suppress

from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from pydantic import BaseModel, ValidationError

from contracts.alerts import Alert
from contracts.decoder import decode
from contracts.errors import DamagedPointerError
from contracts.lake import CURRENT, read_current
from contracts.request_ids import request_id
from contracts.topics import SECURITY_EVENTS, USER_EVENTS
from contracts.traces import Traces, distinct_parents
from contracts.transactions import Transaction

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=4,
)
BYTES = st.binary(max_size=80) | JSON.map(lambda value: json.dumps(value).encode())
briefly = settings(max_examples=60, deadline=None)


def fields_of(model: type[BaseModel]) -> st.SearchStrategy[bytes]:
    """JSON objects with the model's own fields, most of them of a wrong kind."""
    names = st.sampled_from(sorted(model.model_fields))
    return st.dictionaries(names, JSON, max_size=8).map(lambda found: json.dumps(found).encode())


def read_as(model: type[BaseModel], value: bytes) -> None:
    with suppress(ValidationError):
        read = model.model_validate_json(value)
        assert model.model_validate_json(read.model_dump_json()) == read


@briefly
@given(BYTES | fields_of(Transaction))
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
def test_a_transaction(value):
    read_as(Transaction, value)


@briefly
@given(BYTES | fields_of(Alert))
@example(b"[" * 100_000)
def test_an_alert(value):
    read_as(Alert, value)


@briefly
@given(st.sampled_from([SECURITY_EVENTS, USER_EVENTS]), st.lists(st.none() | BYTES, max_size=4))
def test_a_topic_s_records_are_read_or_refused_one_by_one(topic, values):
    decoded = decode(topic, 0, list(range(len(values))), values)

    assert decoded.events.num_rows + len(decoded.rejects) == len(values)


def test_the_pointer_to_the_published_run(tmp_path):
    pointer = tmp_path / CURRENT
    pointer.parent.mkdir(parents=True)

    @briefly
    @given(BYTES)
    def read(value):
        pointer.write_bytes(value)
        with suppress(DamagedPointerError):
            run = read_current(tmp_path)
            assert run is None or not set(run) & set("/\\ \n\0")

    read()


@briefly
@given(st.none() | st.text(max_size=200))
def test_a_request_id_is_one_that_can_be_logged(given_id):
    found = request_id(given_id)

    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", found)


@briefly
@given(st.lists(st.tuples(st.sampled_from(["traceparent", "x"]), BYTES), max_size=5))
@example([("traceparent", b"00-" + b"f" * 32 + b"-" + b"f" * 16 + b"-01")])
def test_headers_that_claim_to_be_a_trace(headers):
    traces = Traces(TracerProvider())

    with traces.processed(SECURITY_EVENTS, 0, distinct_parents([headers]), 1):
        pass
