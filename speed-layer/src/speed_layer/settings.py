"""Settings, read once from ``SPEED_*`` environment variables."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from contracts.topics import DETECTION_TOPICS
from detection import Scorer


class Settings(BaseSettings):
    """How one speed-layer process runs."""

    model_config = SettingsConfigDict(
        env_prefix="SPEED_", env_file=".env", extra="ignore", frozen=True
    )

    host: str = Field("127.0.0.1", description="Address the HTTP server binds to.")
    port: int = Field(9101, ge=1, le=65535, description="Port of the HTTP server.")
    instance: str = Field("", description="Name in `/positions`; empty: `host:port`.")
    kafka_bootstrap_servers: str = Field("localhost:9092", description="Kafka brokers.")
    consumer_group: str = Field("speed-layer", description="Consumer group of all instances.")
    topics: Annotated[tuple[str, ...], NoDecode] = Field(
        DETECTION_TOPICS, description="Topics to score, separated by commas."
    )
    store_dir: Path = Field(Path(".stack/speed"), description="Folder of the partition stores.")
    lake_dir: Path = Field(Path(".stack/lake"), description="Lake; its published run is followed.")
    scorer: Scorer = Field(
        "calibrated", description="How events are scored; a change rebuilds the stores."
    )
    session_timeout_ms: int = Field(
        6_000,
        ge=1_000,
        description="A process that died is replaced in the group after this time.",
    )
    batch_events: int = Field(
        8000, ge=1, le=100_000, description="A micro-batch closes at this many records"
    )
    batch_age_ms: int = Field(25, ge=1, description="or at this age, whichever comes first.")
    snapshot_events: int = Field(
        200_000,
        ge=1,
        description="Least number of events between two snapshots of a partition's state; of a state"
        " beyond 200 MB they are rarer.",
    )
    store_max_bytes: int = Field(
        0, ge=0, description="Largest size of one partition's store; 0: as large as the disk."
    )
    retry_seconds: float = Field(
        5.0, gt=0, description="Longest pause between two attempts at a failed write."
    )

    @field_validator("topics", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator("topics")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in DETECTION_TOPICS]
        if unknown or not value:
            raise ValueError(f"topics: choose from {', '.join(DETECTION_TOPICS)}; got {value!r}")
        return value

    @property
    def instance_name(self) -> str:
        """Name of this process in answers."""
        return self.instance or f"{self.host}:{self.port}"
