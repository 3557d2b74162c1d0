"""One supervised service: its process, and what happens when that ends."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from local_stack.processes import ProcessId
from local_stack.state import ServiceRecord, ServiceState

LONGEST_BACKOFF_SECONDS = 30.0
_STEADY_AFTER_SECONDS = 60.0
_LOG_ROTATE_BYTES = 10 * 1024 * 1024
_LOGS_KEPT = 3


def rotate(log_file: Path, max_bytes: int = _LOG_ROTATE_BYTES, kept: int = _LOGS_KEPT) -> None:
    """Move a log that has grown too long aside: ``x.log`` to ``x.log.1``, and so on."""
    if not log_file.exists() or log_file.stat().st_size < max_bytes:
        return
    for number in range(kept - 1, 0, -1):
        older = log_file.with_name(f"{log_file.name}.{number}")
        if older.exists():
            older.replace(log_file.with_name(f"{log_file.name}.{number + 1}"))
    log_file.replace(log_file.with_name(f"{log_file.name}.1"))


class ServiceProcess:
    """Starts a command, notices its end, starts it again later and later.

    Nothing here blocks: the supervisor calls ``step`` for each service in turn.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        log_file: Path,
        stop_timeout_seconds: float,
    ) -> None:
        self.name = name
        self._command = command
        self._env = env
        self._log_file = log_file
        self._stop_timeout_seconds = stop_timeout_seconds
        self._popen: subprocess.Popen[bytes] | None = None
        self._process: ProcessId | None = None
        self._state = ServiceState.WAITING
        self._since = time.time()
        self._wanted = False
        self._start_at = 0.0
        self._started_at = 0.0
        self._kill_at: float | None = None
        self._failures = 0
        self._restarts = 0
        self._last_exit: int | None = None

    @property
    def is_running(self) -> bool:
        """Say whether there is a process, stopping or not."""
        return self._popen is not None

    def record(self) -> ServiceRecord:
        """Return what others may know about this service."""
        return ServiceRecord(
            self.name, self._state, self._since, self._process, self._restarts, self._last_exit
        )

    def start(self) -> None:
        """Start at the next step, back-off or not."""
        self._wanted = True
        self._start_at = 0.0

    def stop(self) -> None:
        """Ask the process to stop, and do not start it again."""
        self._wanted = False
        if self._popen is None:
            self._enter(ServiceState.STOPPED)
        elif self._kill_at is None:
            self._popen.terminate()
            self._kill_at = time.monotonic() + self._stop_timeout_seconds
            self._enter(ServiceState.STOPPING)

    def restart(self) -> None:
        """Stop cleanly, then start."""
        self.stop()
        self.start()

    def step(self) -> None:
        """Notice an end, end what will not stop, start what is due."""
        if self._popen is not None:
            self._watch(self._popen)
        elif self._wanted and time.monotonic() >= self._start_at:
            self._spawn()

    def _watch(self, popen: subprocess.Popen[bytes]) -> None:
        code = popen.poll()
        now = time.monotonic()
        if code is not None:
            self._note_exit(code)
        elif self._kill_at is not None and now >= self._kill_at and self._process is not None:
            self._process.kill_group()
        elif now - self._started_at > _STEADY_AFTER_SECONDS:
            self._failures = 0

    def _note_exit(self, code: int) -> None:
        if self._process is not None:
            self._process.kill_group()  # what it started must not outlive it
        was_asked = self._kill_at is not None
        self._popen = self._process = self._kill_at = None
        self._last_exit = code
        if code == 0 and not was_asked:
            self._wanted = False  # it was told to stop through its own API
            self._note("exited with 0 and stays stopped")
        if not self._wanted:
            self._enter(ServiceState.STOPPED)
            return
        self._restarts += 1
        if was_asked:
            self._start_at = 0.0
            return
        delay = min(2.0**self._failures, LONGEST_BACKOFF_SECONDS)
        self._failures += 1
        self._start_at = time.monotonic() + delay
        self._note(f"exited with {code}; starting again in {delay:.0f} s")
        self._enter(ServiceState.BACKOFF)

    def _spawn(self) -> None:
        rotate(self._log_file)
        self._started_at = time.monotonic()
        try:
            with self._log_file.open("ab") as log:
                self._popen = subprocess.Popen(
                    self._command,
                    env=dict(self._env),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            self._note(f"cannot be started: {error}")
            self._note_exit(127)
            return
        self._process = ProcessId.of(self._popen.pid)
        self._enter(ServiceState.RUNNING)

    def _enter(self, state: ServiceState) -> None:
        self._state = state
        self._since = time.time()

    def _note(self, text: str) -> None:
        with self._log_file.open("a", encoding="utf-8") as log:
            log.write(f"[supervisor] {self.name} {text}\n")
