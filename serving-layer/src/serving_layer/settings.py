"""Settings, read once from ``SERVING_*`` environment variables."""

from datetime import timedelta
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


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
        False,
        description="Whether to answer without a key although `SERVING_HOST` is reachable from "
        "outside.",
    )
    require_keys: bool = Field(False, description="Whether to ask for a key on loopback too.")
    key_rate: float = Field(100.0, gt=0, description="Requests a second that one key may send.")
    max_body_bytes: int = Field(1_048_576, ge=1_024, description="Largest body of a request.")
    request_timeout: timedelta = Field(
        timedelta(seconds=30), gt=timedelta(0), description="Longest a request may take."
    )
    max_concurrent: int = Field(256, ge=1, description="Requests that are answered at once.")
    max_streams: int = Field(200, ge=1, description="Event streams and sockets open at once.")
    cors_origins: str = Field(
        "", description="Origins whose pages may ask from a browser, comma-separated; none."
    )
    allowed_hosts: str = Field(
        "",
        description="Further names of this server while it listens on loopback (a proxy's), "
        "comma-separated.",
    )
    speed_urls: str = Field(
        "http://127.0.0.1:9101", description="Every speed instance, comma-separated."
    )
    lake_dir: Path = Field(Path(".stack/lake"), description="The lake, read only.")
    data_dir: Path = Field(
        Path(".stack/serving"),
        description="Own files: analyses, cases, copies of event files; and, without names, the "
        "indexes: on a disk, not in memory (tmpfs).",
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

    sql_enabled: bool = Field(False, description="Whether `/api/sql` answers.")
    sql_timeout: timedelta = Field(
        timedelta(seconds=10),
        gt=timedelta(0),
        le=timedelta(seconds=20),
        description="Longest an SQL query may take.",
    )
    sql_memory_mb: int = Field(512, ge=64, description="Memory of an SQL query, MiB.")
    sql_max_rows: int = Field(10_000, ge=1, description="Most rows of an SQL answer.")

    @property
    def speed_instances(self) -> list[str]:
        """Base URLs of the speed instances, without trailing slashes."""
        return _listed(self.speed_urls)

    @property
    def needs_keys(self) -> bool:
        """Whether a request without a key is refused."""
        return self.require_keys or not (self.allow_open or is_loopback(self.host))

    @property
    def cors_allowed(self) -> list[str]:
        """Origins that may ask, without trailing slashes."""
        return _listed(self.cors_origins)

    @property
    def further_hosts(self) -> list[str]:
        """Names that a request may be meant for beside those of loopback."""
        return _listed(self.allowed_hosts)


@lru_cache(maxsize=256)  # asked for every request; an address takes microseconds to read
def is_loopback(host: str) -> bool:
    """Return whether a name or address reaches this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _listed(text: str) -> list[str]:
    return [each.strip().rstrip("/") for each in text.split(",") if each.strip()]
