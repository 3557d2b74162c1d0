"""Commands that run once and end."""

import sys
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

from batch_layer.driver import DriverJvm, driven_session
from batch_layer.errors import BatchLayerError, InvalidRequestError
from batch_layer.settings import Settings
from batch_layer.spark import create_session, jar_paths, kafka_session_conf
from contracts import log_lines

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

COMMAND_CONTAMINATION = 0.1
"""Share of users that older clients expect a bounded run to call anomalous."""


def run(arguments: Namespace) -> int:
    """Run a command; return the exit code, 0 only if it did all it was asked."""
    log_lines.configure("batch-layer", least="WARNING")
    settings = Settings()
    try:
        if arguments.command == "ingest":
            _ingest(settings, arguments)
        elif arguments.command == "table":
            _table(settings, arguments)
        elif arguments.command == "schedule":
            _schedule(settings)
        elif arguments.max_events is not None or arguments.output is not None:
            _bounded(settings, arguments)
        else:
            _published(settings, arguments)
    except (BatchLayerError, OSError) as error:  # a full disk has its own message
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _bounded(settings: Settings, arguments: Namespace) -> None:
    """Read straight from Kafka: the JVM starts while the broker is asked and Python imports."""
    max_events = arguments.max_events or 1_000_000
    conf = kafka_session_conf(settings)
    with ExitStack() as stack:
        driver = DriverJvm(
            conf, jar_paths(settings.jars_dir), settings.archive_dir, is_short=max_events <= 50_000
        )
        stack.callback(driver.close)
        with ThreadPoolExecutor(max_workers=1) as pool:
            session = pool.submit(_connect, driver, settings, conf)
            from batch_layer.security.bounded import BoundedOptions, bounded_run, held_ranges

            try:
                ranges = held_ranges(settings, max_events)
                records = sum(end - start for start, end in ranges.values())
                _say(f"reading {records} records of {len(ranges)} partitions")
                import sklearn.cluster
                import sklearn.ensemble  # noqa: F401 (imported while the JVM is still starting)
            except BaseException:
                driver.kill()
                raise
            spark = session.result()
        stack.callback(spark.stop)
        share = arguments.contamination or COMMAND_CONTAMINATION
        options = BoundedOptions(max_events, arguments.algorithm, share, arguments.model)
        folder = arguments.output or settings.data_dir / "reports" / "latest"
        outcome = bounded_run(spark, settings, options, folder, ranges)
        _say(outcome.summary)
        for entry in outcome.report.top_anomalies[:5]:
            _say(f"  {entry['user']}: {entry['anomaly_score_normalized']:.2f}")
        for note in outcome.report.notes:
            _say(f"  note: {note}")
        if driver.writes_archive:
            _say("keeping a class archive, so that the next start is faster")


def _connect(driver: DriverJvm, settings: Settings, conf: dict[str, str]) -> "SparkSession":
    driver.connect()
    return create_session(settings, conf)


def _published(settings: Settings, arguments: Namespace) -> None:
    from batch_layer.security.progress import Progress, sentence
    from batch_layer.security.run import RunOptions, new_run_id, published_run

    options = RunOptions(
        arguments.full, arguments.algorithm, arguments.contamination, arguments.model
    )
    with ExitStack() as stack:
        spark = stack.enter_context(driven_session(settings))
        run_id = new_run_id()
        _say(f"run {run_id}")
        progress = Progress(lambda now: _say(f"  {sentence(now)}"))
        outcome = published_run(spark, settings, run_id, options, progress)
        _say(outcome.message)
        for note in outcome.notes:
            _say(f"  note: {note}")


def _ingest(settings: Settings, arguments: Namespace) -> None:
    from batch_layer.ingestion import ingest
    from batch_layer.kafka import topic_offsets
    from contracts.topics import DETECTION_TOPICS, TRANSACTION_TOPICS

    topics = arguments.topics or [*DETECTION_TOPICS, *TRANSACTION_TOPICS]
    servers = settings.kafka_bootstrap_servers
    held = topic_offsets(servers, arguments.topics, settings.kafka_timeout)
    if missing := [topic for topic in arguments.topics if topic not in held]:
        raise InvalidRequestError("topics", f"{', '.join(missing)}: no such topic at {servers}")
    with ExitStack() as stack:
        spark = stack.enter_context(driven_session(settings))
        reached = ingest(spark, settings, topics, accept_data_loss=arguments.accept_data_loss)
        for topic, coverage in reached.items():
            ends = ", ".join(f"{p}: {end}" for p, end in sorted(coverage.next.items()))
            _say(f"{topic}: {ends or 'nothing to ingest'}")


def _schedule(settings: Settings) -> None:
    """Write one JSON object per job, as ``GET /schedule`` has it."""
    from datetime import UTC, datetime

    from batch_layer.schedule.jobs import timings
    from batch_layer.schedule.log import read_log
    from batch_layer.schedule.scheduler import JobBody

    last_runs = read_log(settings.data_dir)
    for timing in timings(settings):
        last = last_runs.get(timing.job)
        due, _ = timing.due(None if last is None else last.start_time, datetime.now(UTC))
        body = JobBody(job=timing.job, when=timing.when, next_time=due, last_run=last)
        _say(body.model_dump_json(by_alias=True))


def _table(settings: Settings, arguments: Namespace) -> None:
    """Write one JSON object per table or row of the result."""
    from pydantic_core import to_json

    from batch_layer.transactions.maintenance import Tables, maintain

    with ExitStack() as stack:
        spark = stack.enter_context(driven_session(settings))
        tables = Tables(spark, settings.lake_dir)
        if arguments.action == "maintain":
            maintain(spark, settings.lake_dir)
        if arguments.action in ("list", "maintain"):
            rows = [{"table": name} for name in tables.names()]
        elif arguments.action == "history":
            rows = tables.history(arguments.name, arguments.limit)
        elif arguments.action == "zorder":
            rows = tables.zorder(arguments.name, arguments.columns)
        elif arguments.action == "optimize":
            rows = tables.optimize(arguments.name)
        else:
            rows = tables.vacuum(arguments.name)
        for row in rows:
            _say(to_json(row).decode())
