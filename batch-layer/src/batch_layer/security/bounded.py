"""A security run over the first records of the log: one read from Kafka, nothing published."""

import json
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from batch_layer.errors import BatchLayerError
from batch_layer.kafka import TopicOffsets, source_options, topic_offsets
from batch_layer.security.detect import (
    INPUT_COLUMNS,
    DetectionPlan,
    PartitionDetection,
    PartitionPlan,
    PartitionSummary,
)
from batch_layer.security.files import locked
from batch_layer.security.models import Algorithm, judge
from batch_layer.security.users import Report, make_report, user_rows, write_report, write_users
from contracts.lake import state_name
from contracts.topics import DETECTION_TOPICS
from detection import Engine, user_features

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql import DataFrame, SparkSession

    from batch_layer.security.models import Model
    from batch_layer.settings import Settings

IN_DRIVER = 50_000
"""Up to so many records are cheaper to bring to the driver than to start Python workers for."""

Ranges = dict[tuple[str, int], tuple[int, int]]
"""Offsets ``[start, end)`` to read, by topic and partition."""


@dataclass(frozen=True, slots=True)
class BoundedOptions:
    """How many events to read, and how to judge users."""

    max_events: int
    algorithm: Algorithm = "isolation_forest"
    contamination: float | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class BoundedOutcome:
    """What a bounded run read and found."""

    events: int
    dead_letters: int
    duplicates: int
    report: Report
    folder: Path

    @property
    def summary(self) -> str:
        """One line for a person."""
        return (
            f"{self.events} events ({self.dead_letters} unreadable, {self.duplicates} duplicates "
            f"left out), {self.report.total_users} users, {self.report.anomalous_users} anomalous; "
            f"report in {self.folder}"
        )


def held_ranges(settings: "Settings", max_events: int) -> Ranges:
    """Ask the broker for its offsets and choose those to read.

    Raises:
        BrokerError: If the broker does not answer.
        BatchLayerError: If there is nothing to read.
    """
    held = topic_offsets(settings.kafka_bootstrap_servers, DETECTION_TOPICS, settings.kafka_timeout)
    ranges = spread(max_events, held)
    if not ranges:
        raise BatchLayerError(
            f"{' and '.join(DETECTION_TOPICS)} hold no records at "
            f"{settings.kafka_bootstrap_servers}: nothing to analyse"
        )
    return ranges


def spread(max_events: int, held: dict[str, TopicOffsets]) -> Ranges:
    """Share ``max_events`` among partitions from the earliest on, as evenly as they allow.

    Examples:
        >>> spread(10, {"t": TopicOffsets({0: 5, 1: 0}, {0: 7, 1: 100})})
        {('t', 0): (5, 7), ('t', 1): (0, 8)}
    """
    sizes = {
        (topic, partition): (first, offsets.next[partition] - first)
        for topic, offsets in held.items()
        for partition, first in offsets.first.items()
    }
    ranges: Ranges = {}
    left = max_events
    smallest_first = sorted(sizes.items(), key=lambda item: item[1][1])
    for place, (key, (first, size)) in enumerate(smallest_first):
        share = min(size, -(-left // (len(smallest_first) - place)))
        left -= share
        if share > 0:
            ranges[key] = (first, first + share)
    return ranges


def bounded_run(
    spark: "SparkSession",
    settings: "Settings",
    options: BoundedOptions,
    folder: Path,
    ranges: Ranges | None = None,
) -> BoundedOutcome:
    """Read, detect, judge, and write users and report into ``folder``.

    Args:
        spark: The session to read with.
        settings: Where the broker is.
        options: What to run.
        folder: Gets ``is_anomaly=0|1/``, ``anomaly_report.json`` and ``_SUCCESS``.
        ranges: What to read, if it is known already.

    Raises:
        BrokerError: If the broker does not answer.
        InvalidRequestError: If the model asked for cannot be used.
        RunAlreadyRunningError: If another run writes into the folder.
        BatchLayerError: If there is nothing to read.
    """
    model = None
    if options.model is not None:
        from batch_layer.security.artifacts import model_of_run  # skops is slow to import

        model = model_of_run(settings.lake_dir.resolve(), options.model)
    ranges = ranges or held_ranges(settings, options.max_events)
    with locked(folder):
        (folder / "_SUCCESS").unlink(missing_ok=True)
        return _run(spark, settings, options, folder, ranges, model)


def _run(
    spark: "SparkSession",
    settings: "Settings",
    options: BoundedOptions,
    folder: Path,
    ranges: Ranges,
    model: "Model | None",
) -> BoundedOutcome:
    records = kafka_records(spark, settings, ranges)
    total = sum(end - start for start, end in ranges.values())
    if total <= IN_DRIVER:
        engines, summaries = _detect_here(records.toArrow(), settings)
    else:
        engines, summaries = _detect_in_tasks(records, settings, ranges, folder)
    features = user_features(engines)
    verdicts = judge(features, options.algorithm, options.contamination, model=model)
    users = user_rows(features, verdicts)
    report = make_report(users, verdicts, verdicts.notes)
    write_report(folder / "anomaly_report.json", report)
    write_users(folder, users, verdicts)
    return BoundedOutcome(
        events=sum(summary.rows for summary in summaries),
        dead_letters=sum(summary.dead_letters for summary in summaries),
        duplicates=sum(summary.duplicates for summary in summaries),
        report=report,
        folder=folder,
    )


def kafka_records(spark: "SparkSession", settings: "Settings", ranges: Ranges) -> "DataFrame":
    """Return exactly the records of ``ranges``, columns ``INPUT_COLUMNS``."""
    assigned: dict[str, list[int]] = {}
    starts: dict[str, dict[str, int]] = {}
    ends: dict[str, dict[str, int]] = {}
    for (topic, partition), (start, end) in ranges.items():
        assigned.setdefault(topic, []).append(partition)
        starts.setdefault(topic, {})[str(partition)] = start
        ends.setdefault(topic, {})[str(partition)] = end
    options = source_options(settings.kafka_bootstrap_servers) | {
        "assign": json.dumps(assigned),
        "startingOffsets": json.dumps(starts),
        "endingOffsets": json.dumps(ends),
    }
    records = spark.read.format("kafka").options(**options).load()
    return records.selectExpr(
        "topic", "partition", "offset", "unix_millis(timestamp) AS ingested_at", "value"
    )


def _detect_here(
    records: pa.Table, settings: "Settings"
) -> tuple[list[Engine], list[PartitionSummary]]:
    records = records.select(list(INPUT_COLUMNS)).sort_by(
        [("topic", "ascending"), ("partition", "ascending"), ("offset", "ascending")]
    )
    keys = records.group_by(["topic", "partition"], use_threads=False).aggregate([]).to_pylist()
    engines, summaries = [], []
    for key in keys:
        same = pc.and_(
            pc.equal(records["topic"], key["topic"]),
            pc.equal(records["partition"], key["partition"]),
        )
        summary = PartitionSummary(key["topic"], key["partition"])
        detection = PartitionDetection(Engine(scorer=settings.scorer), summary)
        for batch in records.filter(same).combine_chunks().to_batches():
            detection.process(batch)
        engines.append(detection.engine)
        summaries.append(summary)
    return engines, summaries


def _detect_in_tasks(
    records: "DataFrame", settings: "Settings", ranges: Ranges, folder: Path
) -> tuple[list[Engine], list[PartitionSummary]]:
    from batch_layer.security.job import collect

    work = folder.resolve() / f".work-{uuid.uuid4().hex}"
    parts = tuple(PartitionPlan(*key, *ranges[key], None) for key in sorted(ranges))
    try:
        summaries = sorted(
            collect(records, DetectionPlan(work, settings.scorer, parts)),
            key=lambda summary: (summary.topic, summary.partition),
        )
        return list(_restored(work, summaries)), summaries
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _restored(work: Path, summaries: "Iterable[PartitionSummary]") -> "Iterable[Engine]":
    for summary in summaries:
        path = work / "state" / state_name(summary.topic, summary.partition)
        yield Engine.restore(path.read_bytes())
