from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from serving_layer.app import create_app
from serving_layer.settings import Settings
from serving_layer.testing import Server, SpeedServer, wait_until


@dataclass
class Stack:
    """A running serving layer over real HTTP, its lake and its speed server."""

    lake: Path
    data: Path
    speed: SpeedServer
    server: Server | None = None
    http: httpx.Client | None = None

    def start(self, *, ready: bool = True, **settings) -> "Stack":
        values = {
            "lake_dir": self.lake,
            "data_dir": self.data,
            "speed_urls": self.speed.url,
            "run_check_interval": timedelta(milliseconds=50),
            "positions_interval": timedelta(milliseconds=50),
            "long_poll": timedelta(milliseconds=300),
            "batch_url": "http://127.0.0.1:9",
            "kafka_bootstrap_servers": "127.0.0.1:9",
            **settings,
        }
        self.server = Server(create_app(Settings(_env_file=None, **values)))
        self.http = httpx.Client(base_url=self.server.url, trust_env=False, timeout=30)
        if ready:
            wait_until(lambda: self.get("/api/health/ready").status_code == 200, "ready")
        return self

    def stop(self) -> None:
        if self.http is not None:
            self.http.close()
        if self.server is not None:
            self.server.stop()

    def get(self, path: str, **params) -> httpx.Response:
        return self.http.get(path, params=params or None)

    def json(self, path: str, **params):
        response = self.get(path, **params)
        assert response.status_code == 200, response.text
        return response.json()

    def wait(self, path: str, true, **params):
        """Wait until an answer fulfils a condition, and return it."""
        found = []

        def fulfilled() -> bool:
            found.append(self.get(path, **params).json())
            return true(found[-1])

        try:
            wait_until(fulfilled, path)
        except TimeoutError as error:
            raise AssertionError(f"{path} stayed {found[-1]}") from error
        return found[-1]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack of the test's own, not started yet."""
    yield from made_stack(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack for tests that only read, not started yet."""
    yield from made_stack(tmp_path_factory.mktemp("shared"))


def made_stack(folder: Path) -> Iterator[Stack]:
    (folder / "lake").mkdir()
    with SpeedServer() as speed:
        made = Stack(folder / "lake", folder / "data", speed)
        yield made
        made.stop()
