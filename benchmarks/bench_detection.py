"""How well and how fast detection works on the event generator's plain runs.

Generates 50,000 events of 14 users over one clock hour and over 24 hours (three seeds each),
splits them into 4 partitions by a hash of the user as Kafka would, and compares ``is_anomaly``
with the labels. Every labelled event counts, those before a user's baseline is ready too
(``warm-up``: labelled events that were not scored). Then the speed of the calibrated engine in
micro-batches of 1,000.

Run: ``.venv/bin/python benchmarks/bench_detection.py``; ``QUICK=1`` takes one seed.
The last line is JSON.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from contracts.decoder import decode
from contracts.topics import SECURITY_EVENTS
from detection import Engine

QUICK = os.environ.get("QUICK") == "1"
SEEDS = (11,) if QUICK else (11, 12, 13)
SPANS = {"1h": 3_600, "24h": 86_400}
EVENTS, PARTITIONS, BATCH = 50_000, 4, 1_000


def generate(directory: Path, seed: int, span_seconds: int) -> tuple[pa.RecordBatch, set[str]]:
    """Return the events of a run and the ids of the labelled ones."""
    output, labels = directory / "events.jsonl", directory / "labels.jsonl"
    flags = {
        "--rate": 0,
        "--count": EVENTS,
        "--seed": seed,
        "--output": output,
        "--labels": labels,
        "--clock-span": span_seconds,
    }
    arguments = [str(part) for flag in flags.items() for part in flag]
    command = [sys.executable, "-m", "event_generator", "security", *arguments]
    subprocess.run(command, check=True, capture_output=True)
    values = output.read_bytes().splitlines()
    decoded = decode(SECURITY_EVENTS, 0, range(len(values)), values)
    odd = {json.loads(line)["event_id"] for line in labels.read_text().splitlines()}
    return decoded.events, odd


def partitions(events: pa.RecordBatch) -> list[pa.RecordBatch]:
    """Split events by a hash of their user."""
    users = events.column("user").to_pylist()
    numbers = np.array([hashlib.blake2b(user.encode()).digest()[0] for user in users])
    return [events.filter(pa.array(numbers % PARTITIONS == n)) for n in range(PARTITIONS)]


def evaluate(scorer: str, events: pa.RecordBatch, odd: set[str]) -> Counter[str]:
    """Count hits, false alarms, misses, labelled events before readiness, and alerts."""
    counts: Counter[str] = Counter()
    for part in partitions(events):
        result = Engine(scorer).process(part)  # type: ignore[arg-type]  # one of the two names
        truth = np.array([name in odd for name in part.column("event_id").to_pylist()], np.bool_)
        found = result.is_anomaly
        counts["hits"] += int((found & truth).sum())
        counts["false"] += int((found & ~truth).sum())
        counts["missed"] += int((~found & truth).sum())
        counts["warm-up"] += int((np.isnan(result.anomaly_score) & truth).sum())
        counts["alerts"] += len(result.alerts)
    return counts


def microseconds_per_event(events: pa.RecordBatch) -> float:
    """Return CPU time per event of the calibrated engine, in micro-batches."""
    engine = Engine()
    start = time.process_time()
    for first in range(0, events.num_rows, BATCH):
        engine.process(events.slice(first, BATCH))
    return (time.process_time() - start) / events.num_rows * 1e6


def main() -> None:
    """Print the table and the line of JSON."""
    report: dict[str, float] = {}
    print("scorer       span   precision  recall   false  missed  warm-up  alerts  (per run)")
    with tempfile.TemporaryDirectory() as directory:
        runs = {
            name: [generate(Path(directory), seed, span) for seed in SEEDS]
            for name, span in SPANS.items()
        }
    for scorer, prefix in (("calibrated", ""), ("reference", "reference_")):
        for name in SPANS:
            sums: Counter[str] = Counter()
            for events, odd in runs[name]:
                sums += evaluate(scorer, events, odd)
            precision = sums["hits"] / max(sums["hits"] + sums["false"], 1)
            recall = sums["hits"] / max(sums["hits"] + sums["missed"], 1)
            report |= {
                f"{prefix}precision_{name}": round(precision, 4),
                f"{prefix}recall_{name}": round(recall, 4),
            }
            rest = [sums[key] / len(SEEDS) for key in ("false", "missed", "warm-up", "alerts")]
            print(
                f"{scorer:<12} {name:<5} {precision:10.3f} {recall:7.3f}"
                f" {rest[0]:7.0f} {rest[1]:7.0f} {rest[2]:8.0f} {rest[3]:7.0f}"
            )
    cost = microseconds_per_event(runs["1h"][0][0])
    print(f"calibrated engine, 14 users, batches of {BATCH}: {cost:.1f} us of CPU per event")
    print(json.dumps(report | {"us_per_event": round(cost, 2)}))


if __name__ == "__main__":
    main()
