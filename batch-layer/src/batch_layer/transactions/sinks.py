"""What a micro-batch of the stream writes, in which order, and why that is exactly once.

1. good records to ``stream/transactions``
2. bad records to ``stream/malformed``
3. bad records to the dead-letter topic
4. Spark marks the micro-batch done

After a failure at any step the same micro-batch comes again with the same number. Delta
remembers that number in the commit itself, so 1 and 2 are skipped if they were done; 3 may
repeat a dead letter, which its coordinates tell.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark import StorageLevel
from pyspark.sql import functions as F

from batch_layer.errors import BatchLayerError
from batch_layer.ingestion import first_line
from batch_layer.kafka import connection_options
from batch_layer.transactions import metrics
from batch_layer.transactions.parsing import malformed, parsed, valid
from contracts.lake import STREAM_TRANSACTIONS
from contracts.topics import dead_letter_topic

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

logger = logging.getLogger(__name__)

STREAM_MALFORMED = Path("stream/malformed")


@dataclass(frozen=True, slots=True)
class TransactionSink:
    """Writes micro-batches of one topic's records."""

    lake: Path
    topic: str
    checkpoint: Path
    bootstrap_servers: str

    def __call__(self, records: "DataFrame", number: int) -> None:
        """Write micro-batch ``number``.

        Raises:
            BatchLayerError: What went wrong, in one line: Spark searches the text of an error of ours
                with a recursive pattern, which overflows its stack on Java's long traces.
        """
        try:
            self._write(records, number)
        except Exception as error:
            logger.exception(
                "micro-batch %d of %s was not written",
                number,
                self.topic,
                extra={"topic": self.topic},
            )
            raise BatchLayerError(first_line(error)) from None

    def _write(self, records: "DataFrame", number: int) -> None:
        batch = parsed(records).persist(StorageLevel.MEMORY_AND_DISK)
        try:
            self._append(valid(batch), STREAM_TRANSACTIONS, number, "event_date")
            bad = malformed(batch)
            if count := bad.count():
                metrics.MALFORMED.labels("stream").inc(count)
                dated = bad.withColumn("ingest_date", F.current_date())
                self._append(dated, STREAM_MALFORMED, number, "ingest_date")
                self._publish(bad)
        finally:
            batch.unpersist()

    def _append(self, rows: "DataFrame", path: Path, number: int, partition: str) -> None:
        (
            rows.write.format("delta")
            .mode("append")
            .partitionBy(partition)
            # Delta skips a commit whose (application, version) it holds already.
            .option("txnAppId", self._application())
            .option("txnVersion", number)
            .save(str((self.lake / path).resolve()))
        )

    def _application(self) -> str:
        """Return the query's id: it lives and dies with the checkpoint that numbers batches."""
        query_id: str = json.loads((self.checkpoint / "metadata").read_text())["id"]
        return query_id

    def _publish(self, bad: "DataFrame") -> None:
        headers = F.array(
            _header("reason", F.col("reason")),
            _header("source-topic", F.col("source_topic")),
            _header("source-partition", F.col("source_partition").cast("string")),
            _header("source-offset", F.col("source_offset").cast("string")),
            _header("error", F.col("error")),
        )
        (
            bad.select("key", "value", headers.alias("headers"))
            .write.format("kafka")
            .options(**connection_options(self.bootstrap_servers))
            .option("topic", dead_letter_topic(self.topic))
            .option("kafka.max.request.size", 16 * 1024 * 1024)
            .option("includeHeaders", "true")
            .save()
        )


def _header(key: str, value: "Column") -> "Column":
    return F.struct(F.lit(key).alias("key"), value.cast("binary").alias("value"))
