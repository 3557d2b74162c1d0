"""A published security run, from new records to a new ``CURRENT``."""

import logging
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from batch_layer import metrics
from batch_layer.errors import (
    BatchLayerError,
    ModelError,
    VerificationError,
)
from batch_layer.ingestion import ingest
from batch_layer.kafka import ensure_topic, send
from batch_layer.security import patterns, views
from batch_layer.security import publish as publishing
from batch_layer.security.artifacts import load_model, model_of_run, save_model
from batch_layer.security.detect import DetectionPlan, PartitionPlan, PartitionSummary
from batch_layer.security.files import locked
from batch_layer.security.job import run_detection
from batch_layer.security.models import Algorithm, Model, Verdicts, judge
from batch_layer.security.progress import Progress
from batch_layer.security.users import make_report, user_rows, write_report, write_users
from contracts import lake as lay_out
from contracts.errors import LakeError
from contracts.topics import ALL_TOPICS, ANALYTICS_INSIGHTS, DETECTION_TOPICS
from contracts.views import Manifest
from detection import VERSION, Engine, StateError, user_features

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

    from batch_layer.settings import Settings

logger = logging.getLogger(__name__)

_INSIGHTS_TOPIC = next(topic for topic in ALL_TOPICS if topic.name == ANALYTICS_INSIGHTS)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a caller may ask of a published run; ``model`` names a run whose model judges."""

    full: bool = False
    algorithm: Algorithm = "isolation_forest"
    contamination: float | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a published run ended; ``manifest`` is None when there was nothing new to publish."""

    manifest: Manifest | None
    message: str
    notes: list[str] = field(default_factory=list)
    drift: dict[str, float] = field(default_factory=dict)


class StateUnusableError(Exception):
    """A partition's detection state cannot be restored: only a full run helps."""


def new_run_id() -> str:
    """Return a run's id: when it began, and something nobody else has."""
    return f"run-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"


def published_run(
    spark: "SparkSession",
    settings: "Settings",
    run_id: str,
    options: RunOptions,
    progress: Progress | None = None,
) -> RunOutcome:
    """Ingest what is new, run detection and models over it, verify, publish, send user patterns.

    Whatever fails, the run before stays the one that is served. Patterns that cannot be sent wait
    for the next run.

    Raises:
        BatchLayerError: If a stage fails; the message says what and where.
        InvalidRequestError: If the model asked for cannot be used.
        RunAlreadyRunningError: If another process runs one on the same lake.
    """
    progress = progress or Progress()
    lake = settings.lake_dir.resolve()
    with locked(lake / lay_out.SECURITY):
        publishing.sweep(lake, settings.keep_runs)
        try:
            outcome = _Run(spark, settings, run_id, options, progress).execute()
        except BaseException:
            publishing.discard(lake, run_id)
            raise
        if outcome.manifest is not None:
            publishing.sweep(lake, settings.keep_runs)
            show(outcome.manifest)
            for feature, index in outcome.drift.items():
                metrics.FEATURE_DRIFT.labels(feature).set(index)
        outcome.notes.extend(_send_patterns(settings, lake))
        return outcome


class _Run:
    """One run's way through its stages."""

    def __init__(
        self,
        spark: "SparkSession",
        settings: "Settings",
        run_id: str,
        options: RunOptions,
        progress: Progress,
    ) -> None:
        self._spark = spark
        self._settings = settings
        self._lake = settings.lake_dir.resolve()
        self._run_id = run_id
        self._options = options
        self._progress = progress
        self._notes: list[str] = []
        self._model: Model | None = None
        self._verdicts: Verdicts

    def execute(self) -> RunOutcome:
        """Run; fall back to all history when the last run's state cannot be used."""
        asked = self._options.model
        self._model = None if asked is None else model_of_run(self._lake, asked)
        with self._progress.stage("ingestion"):
            self._coverages = ingest(self._spark, self._settings, DETECTION_TOPICS)
        current = self._current()
        previous = self._to_continue(current)
        try:
            return self._publish(current, previous)
        except StateUnusableError as error:
            logger.warning("%s; recomputing all history", error, extra={"run_id": self._run_id})
            self._notes.append(f"{error}; all history was recomputed")
            publishing.discard(self._lake, self._run_id)
            return self._publish(current, None)

    def _current(self) -> Manifest | None:
        """Return the served run; one that cannot be read is replaced by all history anew."""
        try:
            return views.current_manifest(self._lake)
        except VerificationError as error:
            logger.warning("%s; recomputing all history", error, extra={"run_id": self._run_id})
            self._notes.append(f"{error}; all history was recomputed")
            return None

    def _to_continue(self, current: Manifest | None) -> Manifest | None:
        """Return the run whose state this one starts from; None recomputes all history."""
        if current is None or self._options.full:
            return None
        scorer = self._settings.scorer
        for what, was, now in (
            ("detection", current.detection_version, VERSION),
            ("scorer", current.scorer, scorer),
        ):
            if was != now:
                self._notes.append(f"{what} {was} became {now}: all history was recomputed")
                return None
        return current

    def _publish(self, current: Manifest | None, previous: Manifest | None) -> RunOutcome:
        plans = views.plan_partitions(self._coverages, previous, self._lake)
        if previous is not None and not self._is_worth_a_run(plans, previous):
            publishing.check_files(self._lake, previous)
            return RunOutcome(None, f"no new records since {previous.run_id}")
        if not plans:
            return RunOutcome(None, "nothing to publish: no record was ever ingested")
        with self._progress.stage("detection"):
            summaries = self._detect(plans)
        with self._progress.stage("models"):
            states = views.next_states(self._lake, self._run_id, summaries, previous)
            paths = [self._lake / lay_out.SECURITY / state.path for state in states]
            total, anomalous = self._judge(paths, current)
        manifest = self._manifest(current, previous, plans, summaries).model_copy(
            update={
                "state_files": states,
                "total_users": total,
                "anomalous_users": anomalous,
                "stages": self._progress.seconds,
            }
        )
        with self._progress.stage("publication"):
            publishing.publish(self._lake, manifest)
        events = sum(summary.rows for summary in summaries.values())
        message = f"{events} new events, {total} users, {anomalous} anomalous"
        return RunOutcome(manifest, message, self._notes, self._verdicts.drift)

    def _is_worth_a_run(self, plans: list[PartitionPlan], previous: Manifest) -> bool:
        has_new = any(plan.end > plan.start for plan in plans)
        options = self._options
        other_model = options.algorithm != previous.algorithm or options.model is not None
        return has_new or other_model or options.contamination is not None

    def _detect(self, plans: list[PartitionPlan]) -> dict[views.Key, PartitionSummary]:
        directory = self._lake / lay_out.run_directory(self._run_id)
        directory.mkdir(parents=True)
        plan = DetectionPlan(directory, self._settings.scorer, tuple(plans))
        total = sum(part.end - part.start for part in plans)
        with self._progress.counting(directory, total):
            summaries = run_detection(self._spark, self._lake, plan)
        for summary in summaries.values():
            if summary.state_error is not None:
                raise StateUnusableError(
                    f"the state of {summary.topic}[{summary.partition}] cannot be restored: "
                    f"{summary.state_error}"
                )
        return summaries

    def _judge(self, state_paths: list[Path], current: Manifest | None) -> tuple[int, int]:
        """Features of all users, models, verdicts; return how many users, how many anomalous."""
        features = features_of(state_paths)
        verdicts = judge(
            features,
            self._options.algorithm,
            self._options.contamination,
            run_id=self._run_id,
            model=self._model,
            previous=self._model_before(current),
        )
        self._verdicts = verdicts
        before = None if current is None else current.run_id
        found = patterns.patterns_of(features, verdicts, self._run_id, int(time.time() * 1000))
        patterns.write_patterns(self._lake, self._run_id, found, before)
        directory = self._lake / lay_out.run_directory(self._run_id)
        users = user_rows(features, verdicts)
        write_users(directory / "users", users, verdicts)
        report = make_report(users, verdicts, [*self._notes, *verdicts.notes])
        write_report(directory / "anomaly_report.json", report)
        save_model(directory / "models", verdicts)
        return report.total_users, report.anomalous_users

    def _model_before(self, current: Manifest | None) -> Model | None:
        """Return the served run's model; without it, segments begin anew and drift is unknown."""
        if current is None:
            return None
        try:
            return load_model(self._lake / lay_out.run_directory(current.run_id) / "models")
        except ModelError as error:
            logger.warning("segments are not continued: %s", error, extra={"run_id": self._run_id})
            self._notes.append(f"segments are not continued: {error}")
            return None

    def _manifest(
        self,
        current: Manifest | None,
        previous: Manifest | None,
        plans: list[PartitionPlan],
        summaries: dict[views.Key, PartitionSummary],
    ) -> Manifest:
        events, alerts, aggregates = views.new_files(self._lake, self._run_id, summaries)
        report = lay_out.run_directory(self._run_id) / "anomaly_report.json"
        return Manifest(
            run_id=self._run_id,
            created_at=int(time.time() * 1000),
            previous_run_id=None if current is None else current.run_id,
            full=previous is None,
            detection_version=VERSION,
            scorer=self._settings.scorer,
            algorithm=self._options.algorithm,
            seam=views.next_seam(plans, summaries, previous),
            event_files=[*(previous.event_files if previous else []), *events],
            alert_files=[*(previous.alert_files if previous else []), *alerts],
            aggregate_files=[*(previous.aggregate_files if previous else []), *aggregates],
            user_files=views.user_files(self._lake, self._run_id),
            state_files=[],
            report=report.relative_to(lay_out.SECURITY).as_posix(),
            model_run_id=None if self._verdicts.model is None else self._verdicts.model.run_id,
        )


def _send_patterns(settings: "Settings", lake: Path) -> list[str]:
    """Send what the served run has still to say of users; return a note if that fails."""
    try:
        run_id = lay_out.read_current(lake)
        records = [] if run_id is None else list(patterns.pending(lake, run_id))
        metrics.INSIGHTS_PENDING.set(len(records))
        if run_id is None or not patterns.is_pending(lake, run_id):
            return []
        servers, timeout = settings.kafka_bootstrap_servers, settings.kafka_timeout
        if records:
            ensure_topic(settings, _INSIGHTS_TOPIC)
        metrics.INSIGHTS.inc(send(servers, ANALYTICS_INSIGHTS, records, timeout))
        patterns.mark_sent(lake, run_id)
        metrics.INSIGHTS_PENDING.set(0)
    except (BatchLayerError, LakeError, OSError) as error:
        logger.warning("user patterns wait for the next run: %s", error)
        return [f"user patterns wait for the next run: {error}"]
    return []


def features_of(state_paths: list[Path]) -> "pa.Table":
    """Return the features of all users from the partitions' states.

    Raises:
        StateUnusableError: If a state cannot be restored; the message names the file.
    """
    engines = []
    for path in state_paths:
        try:
            engines.append(Engine.restore(path.read_bytes()))
        except (OSError, StateError) as error:
            raise StateUnusableError(f"{path} cannot be restored: {error}") from error
    return user_features(engines)


def show(manifest: Manifest) -> None:
    """Put the served run into the metrics."""
    for seam in manifest.seam:
        labels = (seam.topic, str(seam.partition))
        metrics.SEAM.labels(*labels).set(seam.next_offset)
        metrics.EVENTS.labels(*labels).set(seam.rows)
        metrics.DEAD_LETTERS.labels(*labels).set(seam.dead_letters)
        metrics.DUPLICATES.labels(*labels).set(seam.duplicates)
    metrics.USERS.set(manifest.total_users)
    metrics.ANOMALOUS_USERS.set(manifest.anomalous_users)
    metrics.PUBLISHED_AT.set(manifest.created_at / 1000)
