"""The windowed aggregation over a year of event time: what a batch says, with bounded state."""

import json
import random
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from batch_layer.transactions.analyses.windows import windowed_aggregation
from batch_layer.transactions.parsing import parsed, valid
from batch_layer.transactions.queries import aggregated

pytestmark = pytest.mark.integration

MICRO_BATCHES, EVENTS = 5, 25
START = datetime(2025, 1, 1, tzinfo=UTC)
BETWEEN = timedelta(days=365) / MICRO_BATCHES
CATEGORIES = ("books", "toys", "grocery")
KAFKA = "key binary, value binary, topic string, partition int, offset long, timestamp timestamp"
ARROW = pa.schema(
    [
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp", pa.timestamp("us", "UTC")),
    ]
)
OPEN_WINDOWS = 5 + 10
"""Windows of one category that an event or the grace before it can keep open."""


def moments(rng: random.Random) -> list[list[datetime]]:
    """Event times by micro-batch: bursts 73 days apart, each in any order within the grace."""
    bursts = [
        [START + number * BETWEEN + timedelta(seconds=rng.randrange(540)) for _ in range(EVENTS)]
        for number in range(MICRO_BATCHES)
    ]
    end = START + MICRO_BATCHES * BETWEEN
    return [*bursts, [end], [end + timedelta(minutes=1)]]  # the last two make the others final


@pytest.fixture(scope="module")
def records(wire, tmp_path_factory):
    """A folder of files as Kafka's source would give them, one for each micro-batch."""
    folder, rng = tmp_path_factory.mktemp("records"), random.Random(5)
    for number, times in enumerate(moments(rng)):
        values = [
            wire(
                event_timestamp=moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
                category=rng.choice(CATEGORIES),
                transaction_status=rng.choice(("completed", "pending", "failed")),
                customer_id=f"c{rng.randrange(9)}",
                total_amount=rng.randrange(1, 400) / 4,  # sums are exact in any order
                fraud_score=rng.choice((0.1, 0.9, None)),
            )
            for moment in times
        ]
        rows = [
            {"key": None, "value": json.dumps(value).encode(), "topic": "t", "partition": 0,
             "offset": 1_000 * number + place, "timestamp": moment}
            for place, (value, moment) in enumerate(zip(values, times, strict=True))
        ]  # fmt: skip
        bad = rows[0] | {"value": b"not a transaction", "offset": 1_000 * number + 999}
        table = pa.Table.from_pylist([*rows, bad], schema=ARROW)
        pq.write_table(table, folder / f"{number:03}.parquet")
    return folder


def test_stream_and_batch_agree_and_the_state_does_not_grow(spark, records, tmp_path):
    # One file a micro-batch, in the order of their names: the files are that old.
    arriving = spark.readStream.schema(KAFKA).option("maxFilesPerTrigger", 1)
    query = (
        aggregated(arriving.parquet(str(records)))
        .writeStream.format("delta")
        .outputMode("append")
        .option("checkpointLocation", str(tmp_path / "checkpoint"))
        .option("path", str(tmp_path / "table"))
        .trigger(availableNow=True)
        .start()
    )
    assert query.awaitTermination(300), "the stream does not end"
    state = [
        operator["numRowsTotal"]
        for progress in query.recentProgress
        for operator in json.loads(progress.json)["stateOperators"]
    ]

    stored = spark.read.schema(KAFKA).parquet(str(records))
    whole = windowed_aggregation(valid(parsed(stored))).collect()
    end = START + MICRO_BATCHES * BETWEEN
    final = [tuple(row) for row in whole if row.window_end.astimezone(UTC) <= end - BETWEEN / 2]
    streamed = DeltaTable(str(tmp_path / "table")).to_pyarrow_table().to_pylist()

    assert len(final) > 10 * MICRO_BATCHES
    assert sorted(map(_comparable, streamed)) == sorted(
        _comparable(dict(zip(streamed[0], row, strict=True))) for row in final
    )
    assert len(state) > MICRO_BATCHES
    assert 0 < max(state) <= 2 * OPEN_WINDOWS * len(CATEGORIES)
    assert state[-1] <= 10


def _comparable(row: dict) -> tuple:
    return tuple(
        value.astimezone(UTC) if isinstance(value, datetime) else value for value in row.values()
    )
