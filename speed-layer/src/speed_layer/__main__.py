"""``python -m speed_layer``: score events until stopped."""

import gc
import json
import logging
import signal
import sys
import threading

from pydantic import ValidationError

from contracts.decoder import decode_security_events
from contracts.events import EVENT_TYPES, MIN_TIMESTAMP_MS
from detection import Engine
from speed_layer.api import create_app
from speed_layer.consumer import SpeedLayer
from speed_layer.metrics import Metrics
from speed_layer.server import Server
from speed_layer.settings import Settings
from speed_layer.status import Status

logger = logging.getLogger("speed_layer")


def main() -> int:
    """Assemble the service and run it; returns the exit code."""
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    try:
        settings = Settings()
    except ValidationError as error:
        sys.stderr.write(f"speed-layer: {error}\n")
        return 2
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return run(settings, stopping)


def run(settings: Settings, stopping: threading.Event) -> int:
    """Serve and consume until ``stopping`` is set."""
    status, metrics = Status(settings.instance_name), Metrics()
    try:
        with Server(create_app(status, metrics), settings.host, settings.port):
            status.set_problem("starting", "compiling detection")
            compile_detection(settings)
            status.set_problem("starting", "joining the group")
            relax_garbage_collection()
            SpeedLayer(settings, status, metrics).run(lambda: not stopping.is_set())
    except OSError as error:
        sys.stderr.write(f"speed-layer: {error}\n")
        return 1
    logger.info("stopped")
    return 0


def relax_garbage_collection() -> None:
    """Look for cycles seldom: micro-batches make many objects and hardly any cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def compile_detection(settings: Settings) -> None:
    """Run detection once, so that its compiled code is ready before records wait for it."""
    event = {"event_id": "warm-up", "timestamp": MIN_TIMESTAMP_MS, "event_type": EVENT_TYPES[0]}
    decoded = decode_security_events([0], [json.dumps(event).encode()])
    Engine(scorer=settings.scorer).process(decoded.events)


if __name__ == "__main__":
    sys.exit(main())
