"""A speed layer as a real process, and its store in canonical form, for tests and benchmarks."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, Self, TypeVar

from speed_layer.recovery import replayed
from speed_layer.segments import decode_message
from speed_layer.store import Store, store_path

T = TypeVar("T")

_POLL_SECONDS = 0.05


def wait_for(
    what: str, probe: Callable[[], T | None], timeout_seconds: float = 90, every: float = 0.1
) -> T:
    """Return the first true answer of ``probe``.

    Raises:
        TimeoutError: It never came; says what was waited for.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        if answer := probe():
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_seconds} s in vain for {what}")
        time.sleep(every)  # polling is what this function is for


class SpeedProcess:
    """``python -m speed_layer`` with settings of its own, started and ended for real."""

    def __init__(self, path: Path, port: int, settings: Mapping[str, str]) -> None:
        self.port = port
        self.log_file = path / f"speed-{port}.log"
        self._env = {**os.environ, "SPEED_PORT": str(port), **settings}
        self.process: subprocess.Popen[bytes] | None = None
        self.command = [sys.executable, "-m", "speed_layer"]

    def start(self) -> Self:
        """Start the process; does not wait until it is ready."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=self._env, stdout=log, stderr=log)
        return self

    def stop(self, timeout_seconds: float = 30) -> int:
        """End it with SIGTERM and return its exit code."""
        return self._end(signal.SIGTERM, timeout_seconds)

    def kill(self) -> int:
        """End it with SIGKILL."""
        return self._end(signal.SIGKILL, 30)

    def _end(self, number: signal.Signals, timeout_seconds: float) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(number)
        try:
            return self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.process = None

    def request(
        self, path: str, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """GET a path; returns status, headers, body. Status 0: nobody answered."""
        request = urllib.request.Request(  # a fixed scheme and host
            f"http://127.0.0.1:{self.port}{path}", headers=dict(headers or {})
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
                return response.status, dict(response.headers), response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()
        except (OSError, HTTPException):  # also: killed in the middle of its answer
            return 0, {}, b""

    def json(self, path: str) -> dict[str, Any]:
        """GET a path whose body is JSON; empty when nobody answered."""
        _, _, body = self.request(path)
        answer: dict[str, Any] = json.loads(body or b"{}")
        return answer

    def next_offsets(self) -> dict[tuple[str, int], int]:
        """Return how far each owned partition is stored."""
        partitions = self.json("/positions").get("partitions", [])
        return {(p["topic"], p["partition"]): p["next_offset"] for p in partitions}

    def wait_until(
        self, offsets: Mapping[tuple[str, int], int], timeout_seconds: float = 90
    ) -> None:
        """Return when each partition is stored at least up to the offset given.

        Raises:
            TimeoutError: It was not; the message ends with the process's log.
        """

        def reached() -> bool:
            stored = self.next_offsets()
            return all(stored.get(key, -1) >= offset for key, offset in offsets.items())

        try:
            wait_for(f"{dict(offsets)}", reached, timeout_seconds, _POLL_SECONDS)
        except TimeoutError as error:
            raise TimeoutError(
                f"{error}; has {self.next_offsets()}\n{self.log()[-3000:]}"
            ) from error

    def log(self) -> str:
        """Return what it logged so far."""
        return self.log_file.read_text(errors="replace")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.kill()


def canonical(store_dir: Path, topic: str, partition: int) -> dict[str, Any]:
    """Return what a stopped process left for a partition, independent of how batches were cut.

    Rows by offset with every column, alerts, position, outbox, and the detection state that a
    restart would recover.
    """
    with Store(store_path(store_dir, topic, partition)) as store:
        rows: list[dict[str, Any]] = []
        for segment, _ in store.segments(store.segments_from):
            rows += decode_message(segment).to_pylist()
        engine = replayed(store, (topic, partition), "calibrated")
        return {
            "rows": rows,
            "alerts": store.alerts(),
            "position": store.position,
            "outbox": store.outbox(),
            "state": engine.snapshot(),
            "events_seen": engine.events_seen,
        }
