"""The reference formula in Quix Streams: its own state (RocksDB and changelog), a SQLite sink.

    .tools/bench-venv/bin/python benchmarks/peers/quix_peer.py SERVERS TOPIC COUNT FOLDER

One counter per user and value, as state that must outlive many values has it. Prints a line of
JSON: seconds, cpu_seconds, stored, anomalies.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from formula import THRESHOLD, insert, open_table, score, totals, values_of
from quixstreams import Application, State
from quixstreams.sinks import BatchingSink, SinkBatch

COMMIT_EVERY = 10_000


class SqliteSink(BatchingSink):
    """Writes each checkpoint's events in one transaction."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.connection = open_table(path)
        self.ended = (0.0, 0.0)

    def write(self, batch: SinkBatch) -> None:
        """Store what came since the last checkpoint."""
        insert(
            self.connection,
            ((batch.partition, item.offset, *item.value) for item in batch),
        )
        self.ended = (time.perf_counter(), time.process_time())


def scorer(begun: list[float]) -> Callable[[bytes, State], tuple[Any, ...]]:
    """Return the function of the stream; it notes when the first event came."""

    def process(raw: bytes, state: State) -> tuple[Any, ...]:
        if not begun:
            begun.extend((time.perf_counter(), time.process_time()))
        event = orjson.loads(raw)
        total = state.get("n", 0)
        counted = []
        for name, weight in values_of(event):
            count = state.get(name, 0)
            counted.append((weight, count))
            state.set(name, count + 1)
        state.set("n", total + 1)
        found = score(event, counted, total)
        flagged = found is not None and found >= THRESHOLD
        named = event["event_id"], event["user"], event["timestamp"], event["event_type"]
        return (*named, found, flagged, raw)

    return process


def main(servers: str, topic: str, count: int, folder: Path) -> None:
    """Read ``count`` events of the topic and print the figures."""
    folder.mkdir(parents=True, exist_ok=True)
    application = Application(
        broker_address=servers,
        consumer_group=folder.name,
        auto_offset_reset="earliest",
        state_dir=folder / "state",
        commit_every=COMMIT_EVERY,
        loglevel="WARNING",
    )
    source = application.topic(topic, key_deserializer="bytes", value_deserializer="bytes")
    sink, begun = SqliteSink(folder / "events.sqlite"), []
    application.dataframe(source).apply(scorer(begun), stateful=True).sink(sink)
    application.run(count=count, timeout=60, collect=False)
    seconds, cpu = sink.ended[0] - begun[0], sink.ended[1] - begun[1]
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, **totals(sink.connection)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
