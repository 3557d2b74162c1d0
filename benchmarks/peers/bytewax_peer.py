"""The reference formula in Bytewax: its own state with recovery on, a batched SQLite sink.

    .tools/bench-venv/bin/python benchmarks/peers/bytewax_peer.py SERVERS TOPIC COUNT FOLDER

Prints a line of JSON: seconds, cpu_seconds, stored, anomalies.
"""

import json
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main
from formula import THRESHOLD, Row, insert, open_table, score, totals, values_of

CONSUMED_AT_ONCE = 2_000
EPOCH = timedelta(seconds=1)

Message = KafkaSourceMessage[bytes | None, bytes | None]
Profile = dict[str, int]


class SqlitePartition(StatelessSinkPartition[tuple[str, Row]]):
    """Writes each batch in one transaction; notes when it last did."""

    def __init__(self, path: Path, ended: list[float]) -> None:
        self._connection = open_table(path)
        self._ended = ended

    def write_batch(self, items: list[tuple[str, Row]]) -> None:
        """Store a batch."""
        insert(self._connection, (row for _, row in items))
        self._ended[:] = (time.perf_counter(), time.process_time())

    def close(self) -> None:
        """Close the table."""
        self._connection.close()


class SqliteSink(DynamicSink[tuple[str, Row]]):
    """One table, since one worker runs."""

    def __init__(self, path: Path, ended: list[float]) -> None:
        self._path = path
        self._ended = ended

    def build(self, step_id: str, worker_index: int, worker_count: int) -> SqlitePartition:  # noqa: ARG002  # the interface's
        """Open the table."""
        return SqlitePartition(self._path, self._ended)


class Parser:
    """Decodes records; notes when the first batch came."""

    def __init__(self) -> None:
        self.begun: list[float] = []

    def __call__(self, batch: list[Message]) -> list[tuple[str, Any]]:
        """Return each event under its user."""
        if not self.begun:
            self.begun.extend((time.perf_counter(), time.process_time()))
        found = []
        for message in batch:
            event = orjson.loads(message.value or b"{}")
            found.append((event["user"], (event, message)))
        return found


def learn(profile: Profile | None, value: tuple[dict[str, Any], Message]) -> tuple[Profile, Row]:
    """Score one event against its user's profile, then count it."""
    event, message = value
    profile = profile if profile is not None else {"n": 0}
    total = profile["n"]
    counted = []
    for name, weight in values_of(event):
        count = profile.get(name, 0)
        counted.append((weight, count))
        profile[name] = count + 1
    profile["n"] = total + 1
    found = score(event, counted, total)
    flagged = found is not None and found >= THRESHOLD
    named = event["event_id"], event["user"], event["timestamp"], event["event_type"]
    place = message.partition or 0, message.offset or 0
    return profile, (*place, *named, found, flagged, message.value or b"")


def main(servers: str, topic: str, folder: Path) -> None:
    """Read the topic to its end and print the figures."""
    recovery = folder / "recovery"
    recovery.mkdir(parents=True)
    init_db_dir(recovery, 1)
    path, parser, ended = folder / "events.sqlite", Parser(), [0.0, 0.0]
    flow = Dataflow("reference")
    source = KafkaSource([servers], [topic], tail=False, batch_size=CONSUMED_AT_ONCE)
    read = op.input("read", flow, source)
    keyed = op.flat_map_batch("decode", read, parser)
    scored = op.stateful_map("score", keyed, learn)
    op.output("store", scored, SqliteSink(path, ended))
    cluster_main(flow, [], 0, epoch_interval=EPOCH, recovery_config=RecoveryConfig(str(recovery)))
    seconds, cpu = ended[0] - parser.begun[0], ended[1] - parser.begun[1]
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, **totals(open_table(path))}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[4]))
