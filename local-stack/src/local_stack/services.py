"""What the stack must know about a service beyond its command: its ports, and when it is ready."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import httpx
from confluent_kafka import KafkaException

from local_stack.errors import PortTakenError
from local_stack.kafka_admin import admin_client
from local_stack.ports import is_free, owner_of
from local_stack.settings import Settings

_READY_TIMEOUT_SECONDS = 5
_SHOWN_CHARACTERS = 200

Readiness = Callable[[], str | None]
"""Returns None when the service is ready, else what it answered."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the Procfile."""

    name: str
    is_ready: Readiness
    ports: Mapping[str, int]
    """The ports it listens on, by the setting that changes each."""
    port: int | None = None
    """The one people talk to."""


def services_of(settings: Settings) -> list[Service]:
    """Return the services of the system in the order they start: the broker first."""
    base = f"http://{settings.host}"
    return [
        Service(
            "kafka",
            kafka_answers(settings.bootstrap_servers),
            {
                "STACK_KAFKA_PORT": settings.kafka_port,
                "STACK_KAFKA_CONTROLLER_PORT": settings.kafka_controller_port,
            },
            settings.kafka_port,
        ),
        Service(
            "speed-layer",
            http_answers(f"{base}:{settings.speed_port}/health"),
            {"STACK_SPEED_PORT": settings.speed_port},
            settings.speed_port,
        ),
        Service(
            "batch-layer",
            http_answers(f"{base}:{settings.batch_port}/health"),
            {"STACK_BATCH_PORT": settings.batch_port},
            settings.batch_port,
        ),
        Service(
            "serving-layer",
            http_answers(f"{base}:{settings.serving_port}/api/health/ready"),
            {
                "STACK_SERVING_PORT": settings.serving_port,
                "STACK_DASHBOARD_PORT": settings.dashboard_port,
            },
            settings.serving_port,
        ),
        Service(
            "genai-assistant",
            http_answers(f"{base}:{settings.assistant_port}/health"),
            {"STACK_ASSISTANT_PORT": settings.assistant_port},
            settings.assistant_port,
        ),
    ]


def http_answers(url: str) -> Readiness:
    """Return a check that a URL answers 200."""

    def check() -> str | None:
        try:
            answer = httpx.get(url, timeout=_READY_TIMEOUT_SECONDS, trust_env=False)
        except httpx.HTTPError as error:
            return f"{url}: {error or type(error).__name__}"
        if answer.status_code == httpx.codes.OK:
            return None
        return f"{url}: {answer.status_code} {answer.text[:_SHOWN_CHARACTERS]}"

    return check


def kafka_answers(bootstrap_servers: str) -> Readiness:
    """Return a check that a Kafka broker answers with its metadata."""

    def check() -> str | None:
        try:
            brokers = admin_client(bootstrap_servers).list_topics(timeout=1).brokers
        except KafkaException as error:
            return f"{bootstrap_servers}: {error.args[0].str()}"
        return None if brokers else f"{bootstrap_servers}: no broker yet"

    return check


def check_ports(host: str, services: Sequence[Service]) -> None:
    """Make sure that every port is free and none is given out twice.

    Raises:
        PortTakenError: names each port that is not, its setting, and who has it, if known.
    """
    faults = []
    given: dict[int, str] = {}
    for service in services:
        for setting, port in service.ports.items():
            if port in given:
                faults.append(f"{setting} and {given[port]} are both {port}")
            elif not is_free(host, port):
                owner = owner_of(port) or "another process"
                faults.append(
                    f"port {port} ({service.name}) is taken by {owner}; "
                    f"free it or set {setting} to another port"
                )
            given[port] = setting
    if faults:
        raise PortTakenError("\n".join(faults))
