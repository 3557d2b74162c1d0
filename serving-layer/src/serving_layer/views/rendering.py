"""Events as clients see them: the stored JSON, and what the system added."""

import json
from collections.abc import Callable, Sequence
from math import isnan
from typing import Any

import orjson

from contracts.views import COMPONENTS
from serving_layer.views.reads import Row, gathered
from serving_layer.views.rendered import Kind, RenderedRows
from serving_layer.views.stored import PARTS
from serving_layer.views.streams import topic_partition

Body = dict[str, Any]

_ANOMALY_COLUMNS = ("event_id", "reasons", PARTS)


def events_json(rows: Sequence[Row], rendered: RenderedRows | None = None) -> list[bytes]:
    """Return events as JSON objects, from ``rendered`` where they lie there.

    Keys of ours replace keys of the same name in the stored JSON, which its producer chose.
    ``status``, ``source_ip`` and ``threat_score`` are added where the event has them only in
    another place or spelling.
    """
    return _json("event", rows, ("event_id", "raw"), _event_json, rendered)


def anomalies_json(rows: Sequence[Row], rendered: RenderedRows | None = None) -> list[bytes]:
    """Return the anomaly records (``contracts.api.AnomalyRecord``) of anomalous events as JSON."""
    return _json("anomaly", rows, _ANOMALY_COLUMNS, _anomaly_json, rendered)


def anomaly_bodies(rows: Sequence[Row]) -> list[Body]:
    """Return the anomaly records of anomalous events."""
    return [
        _anomaly_body(row, values)
        for row, values in zip(rows, gathered(rows, _ANOMALY_COLUMNS), strict=True)
    ]


def _json(
    kind: Kind,
    rows: Sequence[Row],
    columns: Sequence[str],
    render: Callable[[Row, Body], bytes],
    rendered: RenderedRows | None,
) -> list[bytes]:
    if rendered is None:
        values = gathered(rows, columns)
        return [render(row, each) for row, each in zip(rows, values, strict=True)]
    bodies = [rendered.get((kind, row.stream, row.offset)) for row in rows]
    missing = [row for row, body in zip(rows, bodies, strict=True) if body is None]
    new = iter(_json(kind, missing, columns, render, None))
    made = [next(new) if body is None else body for body in bodies]
    for row, body, known in zip(rows, made, bodies, strict=True):
        if known is None:
            rendered.put((kind, row.stream, row.offset), body)
    return made


def _anomaly_json(row: Row, values: Body) -> bytes:
    return orjson.dumps(_anomaly_body(row, values))


def _anomaly_body(row: Row, values: Body) -> Body:
    names = ("event_id", "user", "timestamp", "event_type", "source_ip")
    parts = (0.0 if isnan(part) else part for part in values[PARTS])
    return {
        **{name: values[name] for name in names},
        "anomaly_score": _number(values["anomaly_score"]) or 0.0,
        **dict(zip(COMPONENTS, parts, strict=True)),
        "reasons": values["reasons"] or [],
        "source": row.source,
    }


def _event_json(row: Row, values: Body) -> bytes:
    topic, partition = topic_partition(values["stream"])
    derived = {
        "status": values["status"],
        "source_ip": values["source_ip"],
        "threat_score": _number(values["threat_score"]),
    }
    system = {
        "event_id": values["event_id"],
        "timestamp": values["timestamp"],
        "event_type": values["event_type"],
        "user": values["user"],
        "anomaly_score": _number(values["anomaly_score"]),
        "is_anomaly": values["is_anomaly"],
        "topic": topic,
        "partition": partition,
        "offset": values["offset"],
        "ingested_at": values["ingested_at"],
        "source": row.source,
    }
    body = _body(parsed(values["raw"]), derived, system)
    try:
        return orjson.dumps(body)
    except TypeError:  # of lone surrogates, which only Python's own JSON writes
        return json.dumps(body).encode()


def parsed(raw: bytes) -> Body:
    """Return an event's stored JSON object.

    The decoder skips what it does not know, and so accepts unknown keys whose text is not valid
    Unicode: there invalid bytes become replacement characters, lone surrogates stay as escapes.
    What is no JSON to any parser is an empty object.
    """
    try:
        stored = orjson.loads(raw)
    except orjson.JSONDecodeError:
        try:
            stored = json.loads(raw.decode(errors="replace"))
        except (ValueError, RecursionError):
            stored = {}
    return stored if isinstance(stored, dict) else {}


def _number(value: float) -> float | None:
    return None if isnan(value) else value


def _body(body: Body, derived: Body, system: Body) -> Body:
    for name, value in derived.items():
        if value is not None and body.get(name) is None:
            body[name] = value
    body.update(system)
    return body
