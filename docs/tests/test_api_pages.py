"""The page at /docs of every service works on a closed network: its files come with the service."""

import re
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from batch_layer import app as batch_app
from batch_layer.settings import Settings as BatchSettings
from genai_assistant import app as assistant_app
from genai_assistant.settings import Settings as AssistantSettings
from speed_layer import api as speed_api
from speed_layer.metrics import Metrics
from speed_layer.status import Status

# The serving layer's, behind its front door, is opened in a browser by its own tests.
APPS: dict[str, Callable[[], FastAPI]] = {
    "batch-layer": lambda: batch_app.create_app(BatchSettings(_env_file=None)),
    "genai-assistant": lambda: assistant_app.create_app(AssistantSettings(_env_file=None)),
    "speed-layer": lambda: speed_api.create_app(Status("test"), Metrics()),
}


@pytest.mark.parametrize("name", APPS)
def test_scripts_and_styles_are_the_services_own(name):
    client = TestClient(APPS[name]())
    page = client.get("/docs")
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)

    assert page.status_code == 200
    assert {each.rsplit(".", 1)[-1] for each in named} == {"js", "css", "png"}
    for each in named:
        assert each.startswith("/"), f"{each} is on another server"
        assert client.get(each).status_code == 200
    assert client.get("/redoc").status_code == 404
