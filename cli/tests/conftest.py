from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from contracts.views import RecordKind
from local_stack.testing import Broker
from serving_layer.app import create_app
from serving_layer.settings import Settings
from serving_layer.testing import (
    RunPartition,
    Server,
    SpeedServer,
    alert_record,
    event_record,
    publish_run,
    removed_record,
    user_record,
    wait_until,
)
from streamguard_cli.sshd.adapter import SshdAdapter
from streamguard_cli.sshd.dates import Years

REFERENCE = datetime(2026, 3, 1, tzinfo=UTC)
TOPIC = "security-events"


@dataclass(frozen=True)
class Serving:
    """A running serving layer, and what it reads from."""

    url: str
    speed: SpeedServer


@pytest.fixture(scope="session")
def adapter() -> Callable[..., SshdAdapter]:
    """Build an adapter whose log was last written on 1 March 2026."""
    return lambda year=None, zone=UTC: SshdAdapter(Years(REFERENCE, year), zone)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The real serving layer over a published run and live events; one alert waits."""
    folder = tmp_path_factory.mktemp("serving")
    lake = folder / "lake"
    lake.mkdir()
    with SpeedServer() as speed:
        users = [user_record("alice"), user_record("mallory", is_anomaly=True, score=0.9)]
        events = [event_record(o, user="mallory" if o % 2 else "alice") for o in range(6)]
        events[5] = event_record(5, user="mallory", is_anomaly=True, reasons=["a rare address"])
        old = alert_record(TOPIC, 0, 1, user_id="mallory", alert_id="alert-old")
        for run_id, seam in (("r1", 2), ("r2", 4)):
            publish_run(
                lake, run_id, [RunPartition(TOPIC, 0, events[:seam], seam, alerts=[old])], users
            )
        part = speed.partition(TOPIC, 0)
        part.alerts.append(old)
        part.append([*events, removed_record(6, RecordKind.DUPLICATE)])
        settings = Settings(
            _env_file=None,
            lake_dir=lake,
            data_dir=folder / "data",
            speed_urls=speed.url,
            batch_url="http://127.0.0.1:9",
            kafka_bootstrap_servers="127.0.0.1:9",
            run_check_interval=timedelta(milliseconds=50),
            positions_interval=timedelta(milliseconds=50),
            long_poll=timedelta(milliseconds=300),
        )
        server = Server(create_app(settings))
        ready = f"{server.url}/api/health/ready"
        wait_until(lambda: httpx.get(ready, trust_env=False).status_code == 200, "ready", 60)
        yield Serving(server.url, speed)
        server.stop()
