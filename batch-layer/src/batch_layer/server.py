"""The long-lived service."""

import signal
import sys

import uvicorn

from batch_layer.app import create_app
from batch_layer.driver import driven_session
from batch_layer.errors import SettingsError
from batch_layer.schedule.jobs import timings
from batch_layer.settings import Settings
from contracts import log_lines, traces


def serve() -> int:
    """Serve until SIGTERM or ``POST /stop``; drain, then return 0."""
    log_lines.configure("batch-layer")
    traces.configure("batch-layer")
    settings = Settings()
    try:
        timings(settings)
    except SettingsError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1

    def request_stop() -> None:
        server.should_exit = True

    app = create_app(settings, driven_session, request_stop)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    # After a clean stop the server raises the signal again, for whoever handled it before: nobody,
    # or a stop that went well would look like a crash.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server.run()
    return 0 if server.started else 1
