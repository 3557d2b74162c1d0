"""The HTTP server in a thread of its own, so that queries go on while a batch is processed."""

import threading
from typing import Self

import uvicorn
from fastapi import FastAPI

_STOP_TIMEOUT_SECONDS = 5.0
_START_TIMEOUT_SECONDS = 60.0


class Server:
    """Serves an application from ``__enter__`` to ``__exit__``."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._address = f"{host}:{port}"
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def _run(self) -> None:
        try:
            self._server.run()
        except SystemExit:  # uvicorn's way to say that it cannot bind; __enter__ reports it
            return

    def __enter__(self) -> Self:
        """Start, and return when the port answers.

        Raises:
            OSError: The address cannot be bound.
        """
        self._thread.start()
        waited = threading.Event()
        for _ in range(int(_START_TIMEOUT_SECONDS / 0.05)):
            if self._server.started:
                return self
            if not self._thread.is_alive():
                break
            waited.wait(0.05)
        raise OSError(f"cannot serve on {self._address}: is the port taken?")

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(_STOP_TIMEOUT_SECONDS)
