from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from genai_assistant.app import create_app
from genai_assistant.clock import now_ms
from genai_assistant.settings import Settings
from genai_assistant.testing import ServingDouble, World, small_world

Open = Callable[..., TestClient]


@pytest.fixture(autouse=True)
def _no_model_from_the_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def world() -> World:
    return small_world(now_ms())


@pytest.fixture
def serving(world: World) -> Iterator[ServingDouble]:
    with ServingDouble(world) as double:
        yield double


@pytest.fixture(scope="session")
def seeded_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One retrieval index for the whole run: tests open it one after the other."""
    return tmp_path_factory.mktemp("assistant")


@pytest.fixture
def open_client(serving: ServingDouble, seeded_dir: Path) -> Iterator[Open]:
    """Start an assistant with settings of the test's own; stopped after the test."""
    with ExitStack() as stack:

        def start(**settings: object) -> TestClient:
            given = {
                "serving_url": serving.url,
                "batch_url": serving.url,
                "data_dir": seeded_dir,
                "analyst_enabled": False,
                **settings,
            }
            return stack.enter_context(TestClient(create_app(Settings(_env_file=None, **given))))

        yield start


@pytest.fixture
def client(open_client: Open) -> TestClient:
    return open_client()
