"""Late, unordered and repeated events: what the README promises, in any mixture."""

import itertools
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from contracts.columns import EVENT_SCHEMA
from detection import Engine
from detection.state import HORIZON
from speed_layer.partition import Partition
from speed_layer.segments import Records
from speed_layer.settings import Settings
from speed_layer.testing import canonical

TOPIC = "security-events"
START = 1_700_000_000_000
SETTINGS = Settings()

log_of_any_order = st.lists(
    st.tuples(st.integers(0, 25), st.integers(-3_600, 3_600)), min_size=1, max_size=60
)


def value(number, seconds):
    event = {"event_id": f"e{number}", "timestamp": START + seconds * 1000, "user": "ada"}
    return json.dumps(event | {"event_type": "auth_attempt", "status": "failed"}).encode()


def stored(values, cuts, offsets=None):
    """Return what a partition keeps of records, cut into micro-batches."""
    offsets = list(offsets if offsets is not None else range(len(values)))
    folder = Path(tempfile.mkdtemp())
    try:
        made = SETTINGS.model_copy(update={"store_dir": folder, "lake_dir": folder / "lake"})
        partition = Partition((TOPIC, 0), made, 0)
        edges = sorted({0, len(values), *(cut for cut in cuts if cut < len(values))})
        for first, last in itertools.pairwise(edges):
            count = last - first
            cut = offsets[first:last], [None] * count, values[first:last], [START] * count
            records = Records(TOPIC, 0, *cut)
            partition.write(partition.process(records, records.offsets[-1] + 1).commit)
        partition.close()
        return canonical(folder, TOPIC, 0)
    finally:
        shutil.rmtree(folder)


@hypothesis_settings(max_examples=20, deadline=None)
@given(log=log_of_any_order, cuts=st.lists(st.integers(1, 60), max_size=6))
def test_any_order_is_kept_whole_and_repetitions_change_nothing(log, cuts):
    values = [value(*event) for event in log]
    found = stored(values, cuts)

    firsts = {}
    for offset, (number, _) in enumerate(log):
        firsts.setdefault(number, offset)
    kept = sorted(firsts.values())
    position, rows = found["position"], found["rows"]
    assert (position.rows, position.duplicates) == (len(kept), len(log) - len(kept))
    assert [row["offset"] for row in rows] == list(range(len(log)))
    assert [row["offset"] for row in rows if row["kind"] == 0] == kept

    alone = stored([values[offset] for offset in kept], [], offsets=kept)
    assert [row for row in rows if row["kind"] == 0] == alone["rows"]
    assert found["alerts"] == alone["alerts"]


def test_a_repetition_is_noticed_among_the_last_262144_ids_and_not_beyond():
    def events(names):
        count = len(names)
        columns = {
            "offset": pa.array(np.arange(count)),
            "event_id": pa.array(names),
            "timestamp": pa.array(np.full(count, START)),
            "event_type": pa.array(["dns_query"] * count),
            "user": pa.array(["ada"] * count),
        }
        return pa.RecordBatch.from_arrays(
            [
                columns[field.name].cast(field.type)
                if field.name in columns
                else pa.nulls(count, field.type)
                for field in EVENT_SCHEMA
            ],
            schema=EVENT_SCHEMA,
        )

    engine = Engine("reference")
    assert HORIZON == 262_144
    first = engine.process(events([f"e{number}" for number in range(HORIZON)]))
    assert not first.duplicate.any()

    again = engine.process(events(["e0", "new", "e1", "e0", "e1"]))
    # "new" took the place of e0, which came back as an event and took that of e1
    assert again.duplicate.tolist() == [True, False, True, False, False]
