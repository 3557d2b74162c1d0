"""Cuts do not matter: detection in pieces, restored between them, equals detection in one go."""

import json
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_layer.security.detect import (
    INPUT_COLUMNS,
    DetectionPlan,
    PartitionPlan,
    detection_task,
)
from batch_layer.security.rows import sum_aggregates
from batch_layer.security.run import features_of
from contracts.lake import state_name
from contracts.topics import SECURITY_EVENTS

RECORDS = 600
PLACES = ("DE-BE-Berlin", "US-CA-SF", "KP-PYO")


def record(number: int) -> bytes:
    """One record: four users, bursts of failed logins, repeated ids, garbage."""
    if number % 97 == 13:
        return b"\xff not json"
    kind = ("auth_attempt", "network_connection", "file_access", "dns_query")[number % 4]
    is_burst = 300 <= number < 330
    event = {
        "event_id": f"evt_{number - (number % 61 == 60):012x}",
        "timestamp": 1_760_000_000_000 + number * (500 if is_burst else 40_000),
        "event_type": "auth_attempt" if is_burst else kind,
        "source_ip": f"10.0.{number % 7}.{number % 3}",
        "user": "mallory" if is_burst else f"user{number % 4}",
        "status": "failed" if is_burst or number % 11 == 0 else "success",
        "metadata": {"geo_location": PLACES[0 if number % 50 else 2], "port": 443},
    }
    return json.dumps(event).encode()


BATCH = pa.RecordBatch.from_pydict(
    {
        "topic": [SECURITY_EVENTS] * RECORDS,
        "partition": pa.array([0] * RECORDS, pa.int32()),
        "offset": range(RECORDS),
        "ingested_at": [1_760_000_000_000] * RECORDS,
        "value": [record(number) for number in range(RECORDS)],
    }
).select(list(INPUT_COLUMNS))


def run(root: Path, cuts: list[int]) -> dict[str, object]:
    """Process the records in pieces, each a task that starts from the state of the one before."""
    state: Path | None = None
    views: dict[str, list[pa.Table]] = {"events": [], "alerts": [], "aggregates": []}
    counts = [0, 0, 0]
    edges = sorted({0, RECORDS, *cuts})
    for start, end in pairwise(edges):
        folder = root / f"{start}-{end}"
        plan = PartitionPlan(SECURITY_EVENTS, 0, start, end, state)
        task = detection_task(DetectionPlan(folder, "calibrated", (plan,)))
        (summary,) = (row for batch in task(iter([BATCH[start:end]])) for row in batch.to_pylist())
        assert summary["state_error"] is None
        for place, name in enumerate(("rows", "dead_letters", "duplicates")):
            counts[place] += summary[name]
        for kind, tables in views.items():
            tables.extend(pq.read_table(path) for path in sorted((folder / kind).glob("*.parquet")))
        state = folder / "state" / state_name(SECURITY_EVENTS, 0)
    assert state is not None
    return {
        "counts": counts,
        "events": pa.concat_tables(views["events"]).to_pylist(),
        "alerts": pa.concat_tables(views["alerts"]).to_pylist(),
        "aggregates": sum_aggregates(views["aggregates"]).to_pylist(),
        "state": state.read_bytes(),
        "features": features_of([state]).to_pylist(),
    }


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, RECORDS - 1), min_size=1, max_size=4))
def test_runs_cut_anywhere_equal_one_full_run(cuts):
    with TemporaryDirectory() as name:
        pieces = run(Path(name) / "pieces", cuts)
        whole = run(Path(name) / "whole", [])

    for part, value in whole.items():
        assert pieces[part] == value, part
    assert whole["alerts"]
    assert whole["counts"][1:] == [7, 8]
