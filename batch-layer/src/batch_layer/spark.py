"""The Spark session: jars from disk, Delta, two fair pools, UTC."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from batch_layer.errors import SettingsError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from batch_layer.settings import Settings

Pool = Literal["streaming", "batch"]
"""Streaming queries get three times the share of batches, and at least four cores of any."""

_POOLS_FILE = Path(__file__).with_name("fairscheduler.xml")

_DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    # The default of 50 costs 50 tasks for a log of a few entries.
    "spark.databricks.delta.snapshotPartitions": "2",
}


def jar_paths(jars_dir: Path) -> list[Path]:
    """Return the connector and Delta jars, in a fixed order (a class archive depends on it).

    Raises:
        SettingsError: If there are none.
    """
    jars = sorted(jars_dir.resolve().glob("*.jar"))
    if not jars:
        raise SettingsError(
            f"no jars in {jars_dir}: run `make setup`, or set BATCH_JARS_DIR to their folder"
        )
    return jars


def session_conf(settings: "Settings") -> dict[str, str]:
    """Return the whole configuration of the session.

    Raises:
        SettingsError: If the jars are missing.
    """
    jars = [str(jar) for jar in jar_paths(settings.jars_dir)]
    conf = {
        "spark.app.name": "streamguard-batch",
        "spark.master": settings.spark_master,
        "spark.driver.memory": settings.spark_driver_memory,
        "spark.driver.extraClassPath": ":".join(jars),
        "spark.driver.extraJavaOptions": "-XX:+UseSerialGC -Djava.net.preferIPv4Stack=true",
        "spark.log.level": "ERROR",
        "spark.ui.enabled": str(settings.spark_ui).lower(),
        "spark.ui.showConsoleProgress": "false",
        "spark.scheduler.mode": "FAIR",
        "spark.scheduler.allocation.file": str(_POOLS_FILE),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(settings.shuffle_partitions),
        # Of a few files, more tasks than this only cost; VACUUM lists with as many.
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "4",
        "spark.sql.warehouse.dir": str((settings.data_dir / "warehouse").resolve()),
        "spark.sql.streaming.stopTimeout": "60s",
        **_DELTA,
    }
    if settings.spark_master.startswith("local"):
        conf |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    else:
        # Executors elsewhere fetch the jars from the driver.
        conf["spark.jars"] = ",".join(jars)
    return conf


def kafka_session_conf(settings: "Settings") -> dict[str, str]:
    """Return the configuration of a session that only reads Kafka: no tables, no pools.

    Raises:
        SettingsError: If the jars are missing.
    """
    conf = session_conf(settings)
    left_out = {*_DELTA, "spark.scheduler.mode", "spark.scheduler.allocation.file"}
    return {name: value for name, value in conf.items() if name not in left_out} | {
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    }


def create_session(settings: "Settings", conf: dict[str, str] | None = None) -> "SparkSession":
    """Start Spark, or return the session that runs in this process.

    Args:
        settings: How the service is configured.
        conf: The session's configuration, if it is not ``session_conf(settings)``.

    Raises:
        SettingsError: If the jars are missing.
    """
    from pyspark.sql import SparkSession  # costs a second: commands start the JVM meanwhile

    # Workers must run our interpreter, which has our packages.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    return SparkSession.builder.config(map=dict(conf or session_conf(settings))).getOrCreate()


@contextmanager
def spark_session(settings: "Settings") -> Iterator["SparkSession"]:
    """Hold a session that is stopped at the end."""
    session = create_session(settings)
    try:
        yield session
    finally:
        session.stop()


def is_running(spark: "SparkSession") -> bool:
    """Ask the session's JVM whether it is still up."""
    try:
        jvm_context = spark.sparkContext._jsc  # noqa: SLF001 (no public way to ask)
        return jvm_context is not None and not jvm_context.sc().isStopped()
    except Exception:  # a dead JVM raises whatever py4j met: socket errors, its own, ours
        return False


@contextmanager
def in_pool(spark: "SparkSession", pool: Pool, description: str) -> Iterator[None]:
    """Run this thread's Spark jobs in a scheduler pool, under a name that Spark's UI shows."""
    context = spark.sparkContext
    context.setLocalProperty("spark.scheduler.pool", pool)
    context.setLocalProperty("spark.job.description", description)
    try:
        yield
    finally:
        for name in ("spark.scheduler.pool", "spark.job.description"):
            context.setLocalProperty(name, None)  # type: ignore[arg-type]  # None removes it


def cancel_group(spark: "SparkSession", group: str) -> None:
    """End a group's Spark jobs, and every job it submits from now on.

    pyspark's own ``cancelJobGroup`` ends only those that run at this moment: a first job that is
    submitted a moment later would run to its end.
    """
    scala_context = spark.sparkContext._jsc.sc()  # noqa: SLF001 (pyspark does not offer it)
    scala_context.cancelJobGroupAndFutureJobs(group)
