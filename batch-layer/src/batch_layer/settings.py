"""Settings, read once from ``BATCH_*`` environment variables or ``.env``."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AliasChoices, BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def local_path(value: object) -> object:
    """Return the path that a ``file://`` URL names; anything but a URL as it is.

    Raises:
        ValueError: If the URL is of another kind: a run is published by a rename, which object
            stores do not have.

    Examples:
        >>> local_path("file:///srv/lake")
        '/srv/lake'
    """
    if not isinstance(value, str) or "://" not in value:
        return value
    url = urlsplit(value)
    if url.scheme != "file" or url.netloc not in ("", "localhost"):
        raise ValueError(f"{value} is not a path or file:// URL of this machine")
    return unquote(url.path)


class Settings(BaseSettings):
    """Everything about the batch layer that can be set from outside."""

    model_config = SettingsConfigDict(
        env_prefix="BATCH_", env_file=".env", extra="ignore", frozen=True, populate_by_name=True
    )

    host: str = Field("127.0.0.1", description="Address the control API binds to.")
    port: int = Field(8080, ge=0, le=65535, description="Port of the control API.")
    kafka_bootstrap_servers: str = Field("localhost:9092", description="Kafka brokers.")
    lake_dir: Annotated[Path, BeforeValidator(local_path)] = Field(
        Path(".stack/lake"), description="Root of the lake: a path, or a `file://` URL."
    )
    data_dir: Path = Field(
        Path(".stack/batch"), description="Run registries, and reports of bounded runs."
    )
    spark_master: str = Field(
        "local[2]",
        validation_alias=AliasChoices("BATCH_SPARK_MASTER", "SPARK_MASTER"),
        description="Spark master; `SPARK_MASTER` is read too.",
    )
    spark_driver_memory: str = Field("1g", description="Heap of the Spark driver.")
    spark_ui: bool = Field(False, description="Serve Spark's own UI on port 4040.")
    shuffle_partitions: int = Field(4, ge=1, description="Spark shuffle partitions.")
    jars_dir: Path = Field(
        Path(".tools/jars/spark"), description="Connector and Delta jars, set up by `make setup`."
    )
    archive_dir: Path = Field(
        Path(".tools/cds"), description="Class archives that halve the driver's start."
    )
    schedule_minutes: float = Field(
        15, ge=0, description="Interval of the published security run; 0 switches it off."
    )
    ingest_minutes: float = Field(
        0, ge=0, description="Interval of ingestion on its own (every topic); 0 switches it off."
    )
    maintenance_minutes: float = Field(
        1440, ge=0, description="Interval of table maintenance; 0 switches it off."
    )
    schedule_cron: str = Field(
        "", description="Five cron fields (UTC) for the security run, in place of the interval."
    )
    ingest_cron: str = Field("", description="Cron fields for ingestion.")
    maintenance_cron: str = Field("", description="Cron fields for table maintenance.")
    retry_minutes: float = Field(
        5, ge=0, description="A scheduled job that failed is tried again after this; 0: it is not."
    )
    keep_runs: int = Field(10, ge=1, description="Published security runs that stay readable.")
    scorer: Literal["calibrated", "reference"] = Field(
        "calibrated", description="Scorer of the security run; the speed layer's must be the same."
    )
    kafka_timeout: timedelta = Field(
        timedelta(seconds=30), description="How long a run waits for the broker."
    )
    drain_timeout: timedelta = Field(
        timedelta(seconds=60), description="How long a stop waits for running batches."
    )
    batch_workers: int = Field(8, ge=1, le=64, description="Transaction batches run at once.")
    stream_trigger: timedelta = Field(
        timedelta(seconds=10), description="Interval of the streaming queries' micro-batches."
    )
    stream_max_records: int = Field(
        200_000, ge=1, description="Largest micro-batch of a streaming query, in records."
    )
