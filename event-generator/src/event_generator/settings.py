"""Settings of the transaction generator and the seeder, from environment variables."""

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts import lake
from contracts.topics import TRANSACTIONS_BATCH, TRANSACTIONS_STREAM
from event_generator.errors import ConfigurationError

_Settings = TypeVar("_Settings", bound=BaseSettings)


class _CatalogueSettings(BaseSettings):
    model_config = SettingsConfigDict(frozen=True)

    kafka_bootstrap_servers: str = Field(
        "localhost:9092", min_length=1, description="Comma-separated brokers."
    )
    fraud_rate: float = Field(0.02, ge=0, le=1, description="Share of fraudulent transactions.")
    fraud_mode: Literal["simple", "realistic"] = Field(
        "simple",
        description="`simple`: fraud drawn for any transaction, told by its fraud_score; "
        "`realistic`: customers with habits, and cases of fraud that no score tells.",
    )
    num_customers: int = Field(5_000, ge=1, description="Number of customers.")
    num_products: int = Field(500, ge=10, description="Number of products.")
    num_stores: int = Field(50, ge=1, description="Number of stores.")


class TransactionSettings(_CatalogueSettings):
    """What may be changed about the transaction generator."""

    kafka_topic: str = Field(TRANSACTIONS_STREAM, min_length=1, description="Topic to write to.")
    events_per_second: float = Field(
        10, ge=0, allow_inf_nan=False, description="Rate; 0 means as fast as possible."
    )


class SeedSettings(_CatalogueSettings):
    """What may be changed about the historical seeder."""

    total_records: int = Field(1_000_000, ge=1, description="Number of transactions.")
    date_range_days: int = Field(90, ge=1, le=3_650, description="Days of history.")
    delta_output_path: Path = Field(
        Path(".stack/lake") / lake.SEED_TRANSACTIONS, description="Where the Delta table lies."
    )
    seed_kafka: bool = Field(False, description="Also write the transactions to Kafka.")
    kafka_batch_topic: str = Field(
        TRANSACTIONS_BATCH, min_length=1, description="Topic for SEED_KAFKA."
    )
    spark_master: str | None = Field(
        None, description="Accepted for older scripts; the seeder needs no Spark and ignores it."
    )


def read(kind: type[_Settings]) -> _Settings:
    """Read settings from the environment.

    Raises:
        ConfigurationError: If a variable has a value that makes no sense; the message names it.
    """
    try:
        return kind()
    except ValidationError as error:
        complaints = [
            f"{str(one['loc'][0]).upper()}: {one['msg']}, got {one['input']!r}"
            for one in error.errors()
        ]
        raise ConfigurationError("; ".join(complaints)) from error
