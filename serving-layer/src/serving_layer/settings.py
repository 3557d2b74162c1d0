"""Settings, read once from ``SERVING_*`` environment variables."""

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from serving_layer.errors import OpenBindError


class Settings(BaseSettings):
    """Everything an operator may change about the serving layer."""

    model_config = SettingsConfigDict(
        env_prefix="SERVING_", env_file=".env", extra="ignore", frozen=True
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8081, ge=1, le=65535, description="Port of REST, metrics and dashboard.")
    dashboard_port: int = Field(
        8082, ge=0, le=65535, description="Second port of the same application; 0 for none."
    )
    allow_open: bool = Field(
        True, description="Whether `SERVING_HOST` may be an address reachable from outside."
    )
    speed_urls: str = Field(
        "http://127.0.0.1:9101", description="Every speed instance, comma-separated."
    )
    lake_dir: Path = Field(Path(".stack/lake"), description="The lake, read only.")
    data_dir: Path = Field(
        Path(".stack/serving"), description="Own files: analyses, cases, copies of event files."
    )
    batch_url: str = Field("http://127.0.0.1:8080", description="Control API of the batch layer.")
    assistant_url: str = Field("http://127.0.0.1:8002", description="The assistant.")
    kafka_bootstrap_servers: str = Field(
        "localhost:9092", description="Brokers that test data is produced to."
    )
    run_check_interval: timedelta = Field(
        timedelta(seconds=1), description="How often to look for a newly published run."
    )
    positions_interval: timedelta = Field(
        timedelta(seconds=1), description="How often to ask speed instances what they own."
    )
    long_poll: timedelta = Field(
        timedelta(seconds=2), description="How long a request for segments may wait for events."
    )

    webhooks_file: Path | None = Field(
        None, description="JSON list of targets that alerts are sent to; none without it."
    )
    webhook_attempts: int = Field(
        8, ge=1, le=100, description="Attempts before a message becomes a dead letter."
    )
    webhook_first_pause: timedelta = Field(
        timedelta(seconds=1),
        gt=timedelta(0),
        description="Pause after the first failed attempt; it doubles, up to 10 minutes.",
    )

    @property
    def speed_instances(self) -> list[str]:
        """Base URLs of the speed instances, without trailing slashes."""
        urls = (url.strip().rstrip("/") for url in self.speed_urls.split(","))
        return [url for url in urls if url]

    def check_bind(self) -> None:
        """Refuse an address that is reachable from outside where that is not allowed.

        Raises:
            OpenBindError: Naming the setting.
        """
        if self.allow_open or _is_loopback(self.host):
            return
        raise OpenBindError(
            f"SERVING_HOST={self.host} is reachable from outside and the API asks for no key; "
            "use 127.0.0.1, or set SERVING_ALLOW_OPEN=true"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
