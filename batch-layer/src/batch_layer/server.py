"""The long-lived service."""

import logging

import uvicorn

from batch_layer.app import create_app
from batch_layer.settings import Settings


def serve() -> int:
    """Serve until SIGTERM or ``POST /stop``; drain, then return 0."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    logging.getLogger("py4j").setLevel(logging.WARNING)
    settings = Settings()

    def request_stop() -> None:
        server.should_exit = True

    app = create_app(settings, request_stop=request_stop)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_level="warning",
            timeout_graceful_shutdown=5,
        )
    )
    server.run()
    return 0 if server.started else 1
