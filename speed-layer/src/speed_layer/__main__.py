"""``python -m speed_layer``: score events until stopped."""

import gc
import json
import logging
import signal
import sys
import threading

from pydantic import ValidationError

from contracts import log_lines, traces
from contracts.events import EVENT_TYPES, MIN_TIMESTAMP_MS
from contracts.topics import SECURITY_EVENTS
from detection import Engine
from speed_layer.api import create_app
from speed_layer.consumer import SpeedLayer
from speed_layer.decoding import decode
from speed_layer.errors import GroupLostError
from speed_layer.metrics import Metrics
from speed_layer.server import Server
from speed_layer.settings import Settings
from speed_layer.status import Status
from speed_layer.watchdog import Watchdog, end_process

logger = logging.getLogger("speed_layer")


def main() -> int:
    """Assemble the service and run it; returns the exit code."""
    try:
        log_lines.configure("speed-layer")
        traces.configure("speed-layer")
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
            Watchdog(status).start()
            SpeedLayer(settings, status, metrics).run(lambda: not stopping.is_set())
    except GroupLostError as error:
        end_process(str(error))
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


_WARM_UP_EVENTS = 2_000
"""Enough users for the arrays to grow, which is compiled code too."""


def compile_detection(settings: Settings) -> None:
    """Run detection once, so that its compiled code is ready before records wait for it."""
    events = [
        {
            "event_id": f"warm-up-{number}",
            "timestamp": MIN_TIMESTAMP_MS,
            "event_type": EVENT_TYPES[0],
            "user": f"user-{number}",
        }
        for number in range(_WARM_UP_EVENTS)
    ]
    values = [json.dumps(event).encode() for event in events]
    engine = Engine(scorer=settings.scorer)
    engine.process(decode(SECURITY_EVENTS, 0, range(len(values)), values).events)
    Engine.restore(engine.snapshot())


if __name__ == "__main__":
    sys.exit(main())
