"""What a partition of the speed layer holds, and how fast it is back, with many users.

    make bench-memory            1,000,000 users, 10,000,000 events
    QUICK=1 make bench-memory    50,000 users, 500,000 events

Events of the generator, each under one of many users, go through decoder, detection and store
as in the service, without a broker. Three processes after each other:

* fill: resident memory per user, bytes of the store per event, and how far back a repeated
  event is noticed
* restart: from opening the partition that ended with a snapshot, and one that was killed up to
  ``SPEED_SNAPSHOT_EVENTS`` events after one, to the first micro-batch scored and stored
* rebuild: the same with the store lost, from a published run's state plus 100,000 events of the log

Prints a table, and one line of JSON last; the long run writes its section of docs/benchmarks.md.
"""

import json
import multiprocessing
import os
import random
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from docs_section import write_section

from contracts import lake
from contracts.decoder import decode
from contracts.topics import SECURITY_EVENTS
from contracts.views import Manifest, PartitionSeam, ViewFile
from detection import VERSION, Engine, layout, windows
from detection.state import USER_ARRAYS
from event_generator.clock import EventClock
from event_generator.security.stream import BATCH_SIZE, SecurityScenario, SecurityStream
from speed_layer.__main__ import compile_detection, relax_garbage_collection
from speed_layer.partition import Partition
from speed_layer.segments import Records
from speed_layer.settings import Settings

QUICK = bool(os.environ.get("QUICK"))
USERS = int(os.environ.get("USERS", "50000" if QUICK else "1000000"))
EVENTS = 10 * USERS
AFTER_SNAPSHOT = min(Settings().snapshot_events - 1, EVENTS)
SINCE_SEAM = 100_000
POOL = 20_000
KEY = (SECURITY_EVENTS, 0)
NOW = 1_700_000_000_000

T = TypeVar("T")


@dataclass(frozen=True)
class Filled:
    """What a process held after all events.

    Attributes:
        user_bytes: Growth of resident memory per user.
        parts: Of it, by what it is for, as far as it is arrays of the detection state.
        resident_bytes: Most that the process held.
        event_bytes: Of the store, per event.
        state_bytes: Of the state snapshot, per user.
        events_per_second: Through decoder, detection and store.
        noticed_ids: Latest events of which each one, sent again, was found to be a duplicate.
    """

    user_bytes: float
    parts: dict[str, float]
    resident_bytes: int
    event_bytes: float
    state_bytes: float
    events_per_second: float
    noticed_ids: int


def main() -> None:
    """Fill, restart, rebuild, each in a process of its own; print the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        filled = in_child(fill, folder)
        restarts = in_child(start, folder), in_child(start_killed, folder)
        shutil.rmtree(folder / "store")
        rebuilt = in_child(rebuild, folder)
    gib = filled.resident_bytes / 2**30
    lines = [
        f"| {USERS:,} users, {EVENTS:,} events, one partition | |",
        "|---|---|",
        f"| memory per user, bytes | {filled.user_bytes:,.0f} |",
        *(f"| of it {part} | {size:,.0f} |" for part, size in filled.parts.items()),
        f"| most memory of the process, GiB | {gib:.2f} |",
        f"| store per event, bytes | {filled.event_bytes:,.0f} |",
        f"| state snapshot per user, bytes | {filled.state_bytes:,.0f} |",
        f"| filled at, events/s | {filled.events_per_second:,.0f} |",
        f"| latest events among which a repeated one is noticed | {filled.noticed_ids:,} |",
        f"| restart after a stop to first event stored, s | {restarts[0]:.1f} |",
        f"| the same {AFTER_SNAPSHOT:,} events after a snapshot, s | {restarts[1]:.1f} |",
        f"| lost store: batch state and {SINCE_SEAM:,} events of the log, s | {rebuilt:.1f} |",
    ]
    print("\n".join(lines))
    if not QUICK and "USERS" not in os.environ:
        write_section("bench-memory", lines)
    figures = {
        "bytes_per_user": round(filled.user_bytes),
        "bytes_per_stored_event": round(filled.event_bytes, 1),
        "resident_gib": round(gib, 2),
        "duplicate_horizon_events": filled.noticed_ids,
        "restart_seconds": round(restarts[0], 2),
        "restart_after_kill_seconds": round(restarts[1], 2),
        "rebuild_seconds": round(rebuilt, 2),
    }
    print(json.dumps(figures))


def in_child(work: Callable[[Path], T], folder: Path) -> T:
    """Run ``work`` in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, (folder,))


def settings_of(folder: Path) -> Settings:
    """Return settings with detection compiled, as the service has it before it opens stores."""
    settings = Settings(store_dir=folder / "store", lake_dir=folder / "lake")
    compile_detection(settings)
    relax_garbage_collection()
    return settings


def fill(folder: Path) -> Filled:
    """Store all events, leave a snapshot, and a run's state; then a tail without a snapshot."""
    settings = settings_of(folder)
    partition = Partition(KEY, settings, 0)
    batches = micro_batches(0, EVENTS, settings.batch_events)
    first = next(batches)
    feed(partition, first)  # buffers that do not grow with users
    before, begin = resident(), time.perf_counter()
    for records in batches:
        feed(partition, records)
    seconds = time.perf_counter() - begin
    user_bytes = (resident() - before) / USERS
    parts = parts_of(partition.engine)
    partition.snapshot()
    state = partition.engine.snapshot()
    publish(settings.lake_dir, state)
    partition.close()
    size = partition.store.path.stat().st_size - len(state)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    noticed = count_noticed(partition)
    rate = EVENTS / seconds
    return Filled(user_bytes, parts, peak, size / EVENTS, len(state) / USERS, rate, noticed)


def parts_of(engine: Engine) -> dict[str, float]:
    """Return bytes per user of the arrays that grow with users, as far as they are used."""
    state = engine.state
    rows = sum(getattr(state, name)[0].nbytes for name in USER_ARRAYS)
    entries = int(state.tally[layout.ENTRIES])
    values = entries * state.entries.itemsize + state.table.nbytes
    events = 0
    for window in engine.correlator.windows:
        held = (window.times, window.values, window.orders, window.ips, window.lengths, window.ids)
        events += int(window.tally[windows.EVENTS]) * sum(array[0].nbytes for array in held)
    return {
        "counters and habits of a user": rows,
        f"the {entries / USERS:.0f} values that a user was seen with": values / USERS,
        "events in the rules' windows": events / USERS,
    }


def count_noticed(partition: Partition) -> int:
    """Send events again, the latest first, until one is taken for a new one."""
    noticed, size = 0, 1_000
    for last in range(EVENTS, 0, -size):
        records = next(micro_batches(last - size, last, size))
        events = decode(*KEY, records.offsets, records.values).events
        backwards = events.take(pa.array(range(size - 1, -1, -1)))
        duplicate = partition.engine.process(backwards).duplicate
        if not duplicate.all():
            return noticed + int(duplicate.argmin())
        noticed += size
    return noticed


def start(folder: Path) -> float:
    """Return seconds until a stopped partition scored its next events."""
    return opened(folder, tail=1)


def start_killed(folder: Path) -> float:
    """Return the same for one killed long after its newest snapshot."""
    settings = settings_of(folder)
    partition = Partition(KEY, settings, 0)
    first = partition.position.next_offset
    for records in micro_batches(first, first + AFTER_SNAPSHOT, settings.batch_events):
        feed(partition, records)
    partition.close()
    return opened(folder, tail=1)


def rebuild(folder: Path) -> float:
    """Return seconds until a partition without a store is back where the log ends."""
    return opened(folder, tail=SINCE_SEAM)


def opened(folder: Path, tail: int) -> float:
    """Open the partition and process ``tail`` events behind what it recovered."""
    settings = settings_of(folder)
    begin = time.perf_counter()
    partition = Partition(KEY, settings, 0)
    first = partition.position.next_offset
    opening = time.perf_counter() - begin
    batches = list(micro_batches(first, first + tail, settings.batch_events))
    begin = time.perf_counter()
    for records in batches:
        feed(partition, records)
    seconds = opening + time.perf_counter() - begin
    partition.close()
    return seconds


def feed(partition: Partition, records: Records) -> None:
    """Process and store one micro-batch."""
    partition.write(partition.process(records, records.offsets[-1] + 1).commit)


def micro_batches(first: int, last: int, size: int) -> Iterator[Records]:
    """Yield events of the offsets given; every user comes equally often, at random."""
    pool, chance = prepared(), random.Random(first)
    for begin in range(first, last, size):
        offsets = range(begin, min(begin + size, last))
        values = [
            pool[offset % POOL]
            % (b"%032x" % (offset * 2654435761), NOW + offset, b"u%07d" % chance.randrange(USERS))
            for offset in offsets
        ]
        count = len(values)
        yield Records(*KEY, offsets, [None] * count, values, [NOW] * count)


@cache
def prepared() -> list[bytes]:
    """Return events whose id, time and user are left to fill in."""
    stream = SecurityStream(SecurityScenario(1, EventClock.at_rate(NOW, 1_000)))
    found: list[bytes] = []
    while len(found) < POOL:
        for value in stream.batch(len(found) // BATCH_SIZE).values:
            event = json.loads(value.replace("%", "%%"))
            event |= {"event_id": "%b", "timestamp": "TIME", "user": "%b"}
            ordered = {name: event[name] for name in ("event_id", "timestamp", "user")} | event
            found.append(json.dumps(ordered).replace('"TIME"', "%d").encode())
    return found


def publish(lake_dir: Path, state: bytes) -> None:
    """Publish a run that holds the partition's state, as the batch layer would."""
    name = f"runs/bench/state/{lake.state_name(*KEY)}"
    file = lake_dir / lake.SECURITY / name
    file.parent.mkdir(parents=True)
    file.write_bytes(state)
    seam = PartitionSeam(
        topic=KEY[0], partition=0, first_offset=0, next_offset=EVENTS, rows=EVENTS, skipped=0
    )
    manifest = Manifest(
        run_id="bench",
        created_at=NOW,
        full=True,
        detection_version=VERSION,
        scorer="calibrated",
        algorithm="isolation_forest",
        seam=[seam],
        event_files=[],
        alert_files=[],
        aggregate_files=[],
        user_files=[],
        state_files=[ViewFile(path=name, rows=USERS, bytes=len(state))],
        report="",
    )
    (lake_dir / lake.manifest_path("bench")).write_text(manifest.model_dump_json())
    lake.write_current(lake_dir, "bench")


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
