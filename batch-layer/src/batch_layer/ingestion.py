"""Copy each topic's raw records into the master dataset, exactly once, malformed ones too.

Structured Streaming keeps its progress in the lake, beside the table. A pass reads what is new
and ends. How far the master dataset reaches is what that progress says, not the largest offset
found in it: a partition may end in records that consumers never see (transaction markers).
"""

import fcntl
import json
import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from batch_layer import metrics
from batch_layer.errors import IngestionError, TableProtocolError
from batch_layer.kafka import Offsets, TopicOffsets, source_options, topic_ids, topic_offsets
from batch_layer.spark import in_pool
from contracts.lake import MASTER

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from batch_layer.settings import Settings

logger = logging.getLogger(__name__)

MAX_RECORDS_PER_BATCH = 2_000_000
"""A first pass over a long log commits in pieces of this size."""

_TOPIC_ID = "topic-id"
"""File beside a topic's progress: the id the broker gave the topic that was ingested."""

_RAW_COLUMNS = (
    "topic",
    "partition",
    "offset",
    "timestamp AS broker_timestamp",
    "key",
    "value",
    "current_date() AS ingest_date",
)


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the master dataset holds of one topic: per partition, ``[first, next)``."""

    first: Offsets = field(default_factory=dict)
    next: Offsets = field(default_factory=dict)


def table_path(lake: Path, topic: str) -> Path:
    """Return the folder of a topic's raw records."""
    return lake.resolve() / MASTER / topic


def checkpoint_path(lake: Path, topic: str) -> Path:
    """Return the folder of a topic's ingestion progress."""
    return lake.resolve() / MASTER / "_checkpoints" / topic


def coverage(lake: Path, topic: str) -> Coverage:
    """Read how far a topic was ingested; empty when it never was."""
    checkpoint = checkpoint_path(lake, topic)
    committed = _numbers(checkpoint / "commits")
    if not committed:
        return Coverage()
    last = _last_json(checkpoint / "offsets" / str(committed[-1]), topic)
    start = _last_json(checkpoint / "sources" / "0" / "0", topic)
    # A partition added later is read from its beginning.
    return Coverage({partition: start.get(partition, 0) for partition in last}, last)


def ingest(
    spark: "SparkSession",
    settings: "Settings",
    topics: Iterable[str],
    *,
    accept_data_loss: bool = False,
) -> dict[str, Coverage]:
    """Ingest what is new of each topic; a topic that does not exist is left out.

    Every topic is tried, whatever becomes of the others.

    Returns:
        How far each topic of the master dataset reaches now.

    Raises:
        BrokerError: If the broker does not answer.
        IngestionError: If a topic could not be ingested; the message names each.
    """
    topics = list(topics)
    servers, timeout = settings.kafka_bootstrap_servers, settings.kafka_timeout
    held = topic_offsets(servers, topics, timeout)
    ids = topic_ids(servers, held, timeout)
    for topic in topics:
        if topic not in held:
            logger.warning(
                "topic %s does not exist: nothing to ingest", topic, extra={"topic": topic}
            )

    def attempt(topic: str) -> str | None:
        try:
            checkpoint = checkpoint_path(settings.lake_dir, topic)
            with _exclusive(checkpoint):
                _check_same_topic(topic, checkpoint, ids.get(topic))
                _ingest_topic(spark, settings, topic, held[topic], accept_data_loss)
        except IngestionError as error:
            # The message is all there is to say.
            logger.error("%s", error, extra={"topic": topic})  # noqa: TRY400
            return str(error)
        return None

    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="ingest") as pool:
        failures = [failure for failure in pool.map(attempt, held) if failure]
    if failures:
        raise IngestionError("; ".join(failures))
    return {topic: coverage(settings.lake_dir, topic) for topic in topics}


def _ingest_topic(
    spark: "SparkSession",
    settings: "Settings",
    topic: str,
    held: TopicOffsets,
    accept_data_loss: bool,
) -> None:
    before = coverage(settings.lake_dir, topic)
    if not accept_data_loss:
        _check_no_loss(topic, before, held)
    if held.next == (before.next or held.first):
        return
    with in_pool(spark, "batch", f"ingest {topic}"):
        _stream_once(spark, settings, topic, accept_data_loss)
        check_protocol(spark, table_path(settings.lake_dir, topic))
    after = coverage(settings.lake_dir, topic)
    offsets = sum(
        end - before.next.get(partition, after.first[partition])
        for partition, end in after.next.items()
    )
    metrics.INGESTED_OFFSETS.labels(topic).inc(offsets)
    logger.info("%s: %d new offsets ingested", topic, offsets, extra={"topic": topic})


def _check_same_topic(topic: str, checkpoint: Path, topic_id: str | None) -> None:
    """Refuse a topic of the same name that is not the one ingested so far.

    Offsets cannot tell: the new log may have outgrown the old one.

    Raises:
        IngestionError: naming the topic.
    """
    if topic_id is None:
        return
    path = checkpoint / _TOPIC_ID
    if not path.exists():
        checkpoint.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}")
        draft.write_text(topic_id, encoding="utf-8")
        draft.replace(path)
    elif (known := path.read_text(encoding="utf-8")) != topic_id:
        raise IngestionError(
            f"{topic} is another topic than the one ingested before (id {topic_id}, not {known}): "
            f"{_created_anew(topic)}"
        )


def _created_anew(topic: str) -> str:
    return (
        "the topic was deleted and created anew; to begin again, move "
        f"{MASTER}/{topic} and {MASTER}/_checkpoints/{topic} of the lake and the speed "
        "layer's store of the topic away, then recompute all history with `python -m "
        "batch_layer security-run --full`"
    )


def _check_no_loss(topic: str, before: Coverage, held: TopicOffsets) -> None:
    """Refuse to go on over records that the broker has deleted.

    Raises:
        IngestionError: naming partition and offsets.
    """
    for partition, following in before.next.items():
        first, end = held.first.get(partition), held.next.get(partition, 0)
        if first is None or end < following:
            raise IngestionError(
                f"{topic}[{partition}] was ingested up to offset {following}, but the broker's log "
                f"ends at {end}: {_created_anew(topic)}"
            )
        if first > following:
            raise IngestionError(
                f"{topic}[{partition}]: offsets {following} to {first - 1} were deleted by the "
                "broker before they were ingested; raise the topic's retention, and go on without "
                "them with `python -m batch_layer ingest --accept-data-loss`"
            )


def _stream_once(
    spark: "SparkSession", settings: "Settings", topic: str, accept_data_loss: bool
) -> None:
    options = source_options(settings.kafka_bootstrap_servers) | {
        "subscribe": topic,
        "startingOffsets": "earliest",
        "maxOffsetsPerTrigger": str(MAX_RECORDS_PER_BATCH),
        "failOnDataLoss": str(not accept_data_loss).lower(),
    }
    records = spark.readStream.format("kafka").options(**options).load()
    query = (
        records.selectExpr(*_RAW_COLUMNS)
        .writeStream.format("delta")
        .queryName(f"ingest-{topic}")
        .option("checkpointLocation", str(checkpoint_path(settings.lake_dir, topic)))
        .partitionBy("ingest_date")
        .trigger(availableNow=True)
        .start(str(table_path(settings.lake_dir, topic)))
    )
    try:
        query.awaitTermination()
    except Exception as error:  # Spark raises its own, Python's and py4j's; all mean the same here
        raise IngestionError(f"{topic}: {first_line(error)}") from error
    finally:
        query.stop()


def check_protocol(spark: "SparkSession", path: Path) -> None:
    """Assert that any Delta reader reads this table right.

    With deletion vectors or column mapping, some readers silently return wrong rows.

    Raises:
        TableProtocolError: If the table needs more than the default protocol.
    """
    detail = spark.sql(f"DESCRIBE DETAIL delta.`{path}`").first()
    if detail is not None and (detail["minReaderVersion"], detail["minWriterVersion"]) > (1, 2):
        raise TableProtocolError(
            f"{path} needs reader {detail['minReaderVersion']} and writer "
            f"{detail['minWriterVersion']}: only the default protocol (1, 2) is read right everywhere"
        )


def raw_records(spark: "SparkSession", lake: Path, topic: str) -> "DataFrame":
    """Return a topic's master table."""
    return spark.read.format("delta").load(str(table_path(lake, topic)))


_OF_THE_BRIDGE = "An error occurred while calling "
"""How py4j begins; what was thrown stands on its second line."""

_CAUSE = "Caused by: "

_DISK_FULL = "No space left on device"
"""Stands under a failed write of Spark, whose own line names the folder only."""

_OF_A_THREAD = "Exception thrown in awaitResult"
"""All that Java says of a failure in another thread; the cause under it says the rest."""


def first_line(error: BaseException) -> str:
    """Return what went wrong without the stack of two languages under it."""
    text = str(error).strip() or type(error).__name__
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # A worker's error ends with Python's own last line, Spark's and Java's begin with theirs.
    if any(line.startswith("Traceback (most recent call last)") for line in lines):
        python = [line for line in lines if not line.startswith(("at ", "...", "JVM stacktrace"))]
        return python[-1][:1000]
    if lines[0].startswith(_OF_THE_BRIDGE) and len(lines) > 1:
        lines = lines[1:]
    if _OF_A_THREAD in lines[0]:
        causes = [line.removeprefix(_CAUSE) for line in lines if line.startswith(_CAUSE)]
        lines = [cause for cause in causes if _OF_A_THREAD not in cause] or lines
    said = lines[0].lstrip(": ")[:900]
    if _DISK_FULL not in said and any(_DISK_FULL in line for line in lines):
        return f"{_DISK_FULL}: {said}"
    return said


@contextmanager
def _exclusive(checkpoint: Path) -> Iterator[None]:
    """Keep every other ingestion of the topic out, in this process and in others."""
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    with checkpoint.with_name(f".{checkpoint.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _numbers(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def _last_json(path: Path, topic: str) -> Offsets:
    """Read ``{topic: {partition: offset}}`` from the last line of a Spark progress file."""
    try:
        offsets = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])[topic]
        return {int(partition): int(offset) for partition, offset in offsets.items()}
    except (OSError, IndexError, KeyError, ValueError) as error:
        raise IngestionError(
            f"{topic}: its ingestion progress {path} is damaged: {error}"
        ) from error
