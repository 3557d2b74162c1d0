"""The environment every service of a stack is started with."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from local_stack.java import Java
from local_stack.settings import Settings


def service_environment(settings: Settings, java: Java, env_file: Path) -> dict[str, str]:
    """Return one environment for all services: the caller's, ``.env``, and what we derive.

    What is derived wins, so that a ``STACK_*`` port reaches the service that listens on it and
    every service that calls it alike.
    """
    from_file = {name: value for name, value in dotenv_values(env_file).items() if value}
    binaries = [str(Path(sys.executable).parent), str(java.home / "bin")]
    path = os.pathsep.join([*binaries, os.environ.get("PATH", os.defpath)])
    return {
        **from_file,
        **os.environ,
        **derived(settings),
        "JAVA_HOME": str(java.home),
        "PATH": path,
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYTHONUNBUFFERED": "1",
    }


def derived(settings: Settings) -> Mapping[str, str]:
    """Return the services' own settings as they follow from the stack's."""
    host = settings.host
    data, tools = settings.dir.resolve(), settings.tools_dir.resolve()
    speed, batch, serving, assistant = (
        f"http://{host}:{port}"
        for port in (
            settings.speed_port,
            settings.batch_port,
            settings.serving_port,
            settings.assistant_port,
        )
    )
    values: dict[str, object] = {
        "STACK_DIR": data,
        "STACK_TOOLS_DIR": tools,
        "STACK_HOST": host,
        "STACK_KAFKA_PORT": settings.kafka_port,
        "STACK_KAFKA_CONTROLLER_PORT": settings.kafka_controller_port,
        "STACK_KAFKA_HEAP_MIB": settings.kafka_heap_mib,
        "SPEED_HOST": host,
        "SPEED_PORT": settings.speed_port,
        "SPEED_KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "SPEED_STORE_DIR": data / "speed",
        "SPEED_LAKE_DIR": data / "lake",
        "BATCH_HOST": host,
        "BATCH_PORT": settings.batch_port,
        "BATCH_KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "BATCH_LAKE_DIR": data / "lake",
        "BATCH_DATA_DIR": data / "batch",
        "BATCH_JARS_DIR": tools / "jars" / "spark",
        "SERVING_HOST": host,
        "SERVING_PORT": settings.serving_port,
        "SERVING_DASHBOARD_PORT": settings.dashboard_port,
        "SERVING_KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "SERVING_LAKE_DIR": data / "lake",
        "SERVING_DATA_DIR": data / "serving",
        "SERVING_SPEED_URLS": speed,
        "SERVING_BATCH_URL": batch,
        "SERVING_ASSISTANT_URL": assistant,
        "ASSISTANT_HOST": host,
        "ASSISTANT_PORT": settings.assistant_port,
        "ASSISTANT_SERVING_URL": serving,
        "ASSISTANT_BATCH_URL": batch,
        "ASSISTANT_DATA_DIR": data / "assistant",
    }
    return {name: str(value) for name, value in values.items()}
