"""Everything about the local stack that can be set from outside."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of the local stack: environment variables ``STACK_*``, or ``.env``."""

    model_config = SettingsConfigDict(
        env_prefix="STACK_", env_file=".env", extra="ignore", frozen=True
    )

    dir: Path = Field(Path(".stack"), description="Data, logs and process records of this stack.")
    tools_dir: Path = Field(Path(".tools"), description="Jars, Java wrapper and class archives.")
    host: str = Field("127.0.0.1", description="Address that every service binds to.")
    kafka_port: int = Field(9092, ge=1, le=65535, description="Port of the Kafka broker.")
    kafka_controller_port: int = Field(
        9093, ge=1, le=65535, description="Port of the broker's own controller."
    )
    speed_port: int = Field(9101, ge=1, le=65535, description="Port of the speed layer.")
    batch_port: int = Field(8080, ge=1, le=65535, description="Port of the batch control API.")
    serving_port: int = Field(8081, ge=1, le=65535, description="Port of the serving API.")
    dashboard_port: int = Field(8082, ge=1, le=65535, description="Second port of the dashboard.")
    assistant_port: int = Field(8002, ge=1, le=65535, description="Port of the assistant.")
    kafka_heap_mib: int = Field(256, ge=96, description="Heap limit of the broker, MiB.")
    ready_timeout_seconds: float = Field(
        180, gt=0, description="How long `make up` waits for a service to say it is ready."
    )
    stop_timeout_seconds: float = Field(
        20, gt=0, description="How long a service may take to stop before it is killed."
    )

    @property
    def bootstrap_servers(self) -> str:
        """Where Kafka clients of this stack connect."""
        return f"{self.host}:{self.kafka_port}"
