"""The dashboards: file name -> function that builds it."""

from collections.abc import Callable

from grafana_foundation_sdk.builders.dashboard import Dashboard

from streamguard_dashboards.pages.assistant import assistant
from streamguard_dashboards.pages.lambda_architecture import lambda_architecture
from streamguard_dashboards.pages.pipeline import pipeline
from streamguard_dashboards.pages.system import system
from streamguard_dashboards.pages.threats import threats

PAGES: dict[str, Callable[[], Dashboard]] = {
    "pipeline": pipeline,
    "system-performance": system,
    "threat-detection": threats,
    "lambda-architecture": lambda_architecture,
    "assistant": assistant,
}
