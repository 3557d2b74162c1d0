"""How well detection tells intrusions from habits and changes, ours beside the reference.

Every run is split into 4 partitions by a hash of the user, as Kafka would, and goes through both
scorers; ``is_anomaly`` is compared with the labels (``detection_scenarios``). Sums over seeds.

* recall: flagged labelled events of those that were scored. ``of all`` counts those too that came
  before their user's baseline was ready.
* average precision: over the ranking by score; what was not scored comes last.
* at equal recall: the reference's threshold moved so that its recall is ours.
* time to detect: median over users from the first intrusion's event to the first flagged one;
  ``found`` says of how many users any was.

Run: ``make bench-detection``, which also writes its section of ``docs/benchmarks.md``; ``QUICK=1``
takes one seed and writes nothing. The last line is JSON.
"""

import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from detection_scenarios import CHANGES, INTRUSIONS, Run, Scenario, generate
from docs_section import write_section
from numpy.typing import NDArray

from contracts.decoder import decode
from contracts.topics import SECURITY_EVENTS
from detection import Engine

QUICK = os.environ.get("QUICK") == "1"
SEEDS = (11,) if QUICK else (11, 12, 13)
PARTITIONS, CHUNK, BATCH = 4, 50_000, 1_000
DAY_SECONDS = 86_400
SCORERS = ("calibrated", "reference")

SCENARIOS = (
    Scenario("14 users, 1 h", 14, 50_000, 3_600),
    Scenario("14 users, 24 h", 14, 50_000, DAY_SECONDS),
    Scenario("14 users, 24 h from midnight", 14, 50_000, DAY_SECONDS, start_hour=0),
    Scenario("10,000 users, 1 h", 10_000, 500_000, 3_600),
    Scenario("10,000 users, 24 h", 10_000, 500_000, DAY_SECONDS),
    Scenario("hard: 300 users, 14 d", 300, 200_000, 14 * DAY_SECONDS, start_hour=0, is_hard=True),
)
NOTES = (
    "The reference judges nobody who has fewer than 100 events; the 10,000 users have 50 on average, so"
    " there its figures are of nobody (1 h) or of the few who have more (24 h). Recall of all labelled"
    " events (`recall_of_all_*`) is the stricter one: an event that was not scored counts as missed."
)
KEYS = {"14 users, 1 h": "1h", "14 users, 24 h": "24h", "hard: 300 users, 14 d": "hard"}


@dataclass
class Outcome:
    """What one scorer made of a scenario, over all seeds.

    Attributes:
        scores: Of every event; NaN where it was not scored.
        flagged, labelled: Of every event, whether it was, whether it should have been.
        false_by_group, found_by_group, labelled_by_group: Counts by how users change or are
            broken into; the last two of scored events.
        delays: Per user broken into, ms until found; None if never.
    """

    scores: list[NDArray[np.float64]] = field(default_factory=list)
    flagged: list[NDArray[np.bool_]] = field(default_factory=list)
    labelled: list[NDArray[np.bool_]] = field(default_factory=list)
    false_by_group: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    found_by_group: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    labelled_by_group: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    delays: list[int | None] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Figures:
    """The row of a table."""

    precision: float
    recall: float
    recall_of_all: float
    average_precision: float
    false_per_user_and_day: float
    minutes_to_detect: float
    found: str


def by_partition(events: pa.RecordBatch) -> NDArray[np.int64]:
    """Return the partition of each event, by its user."""
    users = events.column("user").dictionary_encode()
    of_name = [hashlib.blake2b(name.encode()).digest()[0] for name in users.dictionary.to_pylist()]
    partitions: NDArray[np.int64] = np.array(of_name)[users.indices.to_numpy()] % PARTITIONS
    return partitions


def judge(run: Run, outcomes: dict[str, Outcome]) -> None:
    """Put a run through both scorers, into ``outcomes`` by their names."""
    engines = {
        name: [Engine(name) for _ in range(PARTITIONS)]  # type: ignore[arg-type]  # of SCORERS
        for name in outcomes
    }
    times: dict[str, dict[str, list[int]]] = {name: defaultdict(list) for name in outcomes}
    begun: dict[str, int] = {}
    for first in range(0, len(run.lines), CHUNK):
        values = run.lines[first : first + CHUNK]
        events = decode(SECURITY_EVENTS, 0, range(first, first + len(values)), values).events
        partitions = by_partition(events)
        for number in range(PARTITIONS):
            part = events.filter(pa.array(partitions == number))
            kinds = [run.kinds.get(name) for name in part.column("event_id").to_pylist()]
            truth = np.array([kind is not None for kind in kinds])
            users = part.column("user").to_pylist()
            at = part.column("timestamp").to_pylist()
            for row in np.flatnonzero(truth).tolist():
                begun[users[row]] = min(begun.get(users[row], at[row]), at[row])
            for name, outcome in outcomes.items():
                result = engines[name][number].process(part)
                outcome.scores.append(result.anomaly_score)
                outcome.flagged.append(result.is_anomaly)
                outcome.labelled.append(truth)
                for row in np.flatnonzero(result.is_anomaly & ~truth).tolist():
                    outcome.false_by_group[run.groups.get(users[row], "no change")] += 1
                scored = ~np.isnan(result.anomaly_score)
                for row in np.flatnonzero(scored & truth).tolist():
                    outcome.labelled_by_group[kinds[row] or ""] += 1
                    outcome.found_by_group[kinds[row] or ""] += int(result.is_anomaly[row])
                for row in np.flatnonzero(result.is_anomaly & truth).tolist():
                    times[name][users[row]].append(at[row])
    for name, outcome in outcomes.items():
        found = {user: min(at) for user, at in times[name].items()}
        outcome.delays += [
            found[user] - start if user in found else None for user, start in sorted(begun.items())
        ]


def figures(outcome: Outcome, user_days: float) -> Figures:
    """Reduce an outcome to the row of a table."""
    scores, flagged = np.concatenate(outcome.scores), np.concatenate(outcome.flagged)
    truth = np.concatenate(outcome.labelled)
    hits, false = int((flagged & truth).sum()), int((flagged & ~truth).sum())
    known = [delay / 60_000 for delay in outcome.delays if delay is not None]
    return Figures(
        precision=hits / max(hits + false, 1),
        recall=hits / max(int((truth & ~np.isnan(scores)).sum()), 1),
        recall_of_all=hits / max(int(truth.sum()), 1),
        average_precision=average_precision(*ranking(scores, truth)),
        false_per_user_and_day=false / user_days,
        minutes_to_detect=statistics.median(known) if known else float("nan"),
        found=f"{len(known)}/{len(outcome.delays)}",
    )


def ranking(
    scores: NDArray[np.float64], truth: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return precision and recall at every threshold, from the highest down."""
    scores = np.nan_to_num(scores, nan=-1.0)
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    last_of_equals = np.append(np.diff(scores[order]) != 0, True)
    hits, count = hits[last_of_equals], np.flatnonzero(last_of_equals) + 1
    return hits / count, hits / max(int(truth.sum()), 1)


def average_precision(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> float:
    """Return the precision's mean, weighted by the steps in recall."""
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def precision_at(outcome: Outcome, recall_of_all: float) -> float:
    """Return the precision at the highest threshold that reaches a recall, of all labelled."""
    precision, recall = ranking(np.concatenate(outcome.scores), np.concatenate(outcome.labelled))
    return float(precision[min(int(np.searchsorted(recall, recall_of_all)), len(recall) - 1)])


def microseconds_per_event(lines: Sequence[bytes]) -> float:
    """Return CPU time per event of the calibrated engine, in micro-batches."""
    events = decode(SECURITY_EVENTS, 0, range(len(lines)), lines).events
    engine = Engine()
    start = time.process_time()
    for first in range(0, events.num_rows, BATCH):
        engine.process(events.slice(first, BATCH))
    return (time.process_time() - start) / events.num_rows * 1e6


def row(name: str, scorer: str, value: Figures) -> str:
    """Return a table's row."""
    return (
        f"| {name} | {scorer} | {value.precision:.3f} | {value.recall:.3f} |"
        f" {value.recall_of_all:.3f} | {value.average_precision:.3f} |"
        f" {value.false_per_user_and_day:.2f} | {value.minutes_to_detect:.1f} | {value.found} |"
    )


def group_table(outcomes: dict[str, Outcome], days: float) -> list[str]:
    """Say who of the hard run was found, and who was suspected for a change."""
    lines = [
        "",
        "| hard run | scorer | recall | false alarms per user and day |",
        "|---|---|---|---|",
    ]
    for group in (*INTRUSIONS, *CHANGES):
        for scorer, outcome in outcomes.items():
            labelled = outcome.labelled_by_group[group]
            recall = f"{outcome.found_by_group[group] / labelled:.3f}" if labelled else "-"
            users = (INTRUSIONS | CHANGES)[group]
            false = outcome.false_by_group[group] / (users * days)
            lines.append(f"| {group} | {scorer} | {recall} | {false:.2f} |")
    return lines


def main() -> None:
    """Print the tables and the line of JSON; a whole run also writes the documentation."""
    head = "scenario|scorer|precision|recall|recall of all|average precision|false alarms per user and day|minutes to detect|found"
    table = [f"| {head.replace('|', ' | ')} |", "|---" * 9 + "|"]
    report: dict[str, float] = {}
    for scenario in SCENARIOS:
        outcomes = {name: Outcome() for name in SCORERS}
        for seed in SEEDS:
            with tempfile.TemporaryDirectory() as directory:
                run = generate(scenario, seed, Path(directory))
            judge(run, outcomes)
        days = scenario.span_seconds / DAY_SECONDS * len(SEEDS)
        rows = {name: figures(one, scenario.users * days) for name, one in outcomes.items()}
        table += [row(scenario.name, name, value) for name, value in rows.items()]
        equal = precision_at(outcomes["reference"], rows["calibrated"].recall_of_all)
        table.append(f"| | reference at equal recall | {equal:.3f} |" + " |" * 6)
        if key := KEYS.get(scenario.name):
            for name, value in rows.items():
                prefix = "" if name == "calibrated" else "reference_"
                report[f"{prefix}precision_{key}"] = round(value.precision, 4)
                report[f"{prefix}recall_{key}"] = round(value.recall, 4)
                report[f"{prefix}recall_of_all_{key}"] = round(value.recall_of_all, 4)
            report[f"reference_precision_at_equal_recall_{key}"] = round(equal, 4)
        if scenario.is_hard:
            table += group_table(outcomes, days)
        print(f"{scenario.name} done", file=sys.stderr)
    with tempfile.TemporaryDirectory() as directory:
        lines = generate(SCENARIOS[0], SEEDS[0], Path(directory)).lines
    cost = microseconds_per_event(lines)
    table += [
        "",
        f"The calibrated engine takes {cost:.1f} us of CPU per event, in batches of {BATCH}.",
    ]
    table += ["", NOTES]
    print("\n".join(table))
    report["us_per_event"] = round(cost, 2)
    if not QUICK:
        write_section("bench-detection", [*table, "", "```json", json.dumps(report), "```"])
    print(json.dumps(report))


if __name__ == "__main__":
    main()
