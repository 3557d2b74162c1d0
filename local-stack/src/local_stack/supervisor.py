"""Keep the services of a Procfile running, detached from any terminal.

honcho reads the Procfile, but its manager runs in the foreground only and ends everything as
soon as one process ends, which is the opposite of what the fault journeys need; the other
supervisors on the package index want a configuration language, a daemon of their own, or root.
So this is one small loop: it starts services, starts them again with back-off when they exit,
obeys requests dropped into its inbox, and writes down every process id with its start time,
so that ``make down`` finds them even after this process itself was killed.
"""

import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from types import FrameType

from local_stack.errors import ServiceError
from local_stack.layout import Layout
from local_stack.processes import ProcessId
from local_stack.service_process import ServiceProcess
from local_stack.state import StackState, write_state

_STEP_SECONDS = 0.1
VERBS = ("start", "stop", "restart")


def request(layout: Layout, verb: str, service: str) -> None:
    """Ask the running supervisor to start, stop or restart one service."""
    (layout.inbox_dir / f"{verb}-{service}").touch()


class Supervisor:
    """Runs until SIGTERM or SIGINT, then stops every service, the first one last."""

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        env: Mapping[str, str],
        layout: Layout,
        stop_timeout_seconds: float,
    ) -> None:
        self._layout = layout
        self._me = ProcessId.of(os.getpid())
        self._written: StackState | None = None
        self._stop_asked = threading.Event()
        self._services = {
            name: ServiceProcess(name, command, env, layout.log_file(name), stop_timeout_seconds)
            for name, command in commands.items()
        }

    def run(self, start: Iterable[str]) -> None:
        """Start some services and keep all that are asked for running; blocks.

        Raises:
            ServiceError: another supervisor runs this stack already.
        """
        for folder in (self._layout.inbox_dir, self._layout.logs_dir):
            folder.mkdir(parents=True, exist_ok=True)
        with self._layout.lock_file.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ServiceError(f"{self._layout.stack_dir} has a supervisor already") from error
            self._run_locked(start)

    def _run_locked(self, start: Iterable[str]) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        for stale in self._layout.inbox_dir.iterdir():
            stale.unlink()
        for name in start:
            self._services[name].start()
        try:
            while not self._stop_asked.is_set():
                self._obey_requests()
                self._step()
                self._stop_asked.wait(_STEP_SECONDS)
        finally:
            self._stop_services()

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_asked.set()

    def _obey_requests(self) -> None:
        for file in sorted(self._layout.inbox_dir.iterdir()):
            verb, _, name = file.name.partition("-")
            file.unlink()
            service = self._services.get(name)
            if service is not None and verb in VERBS:
                {"start": service.start, "stop": service.stop, "restart": service.restart}[verb]()

    def _step(self) -> None:
        for service in self._services.values():
            was_running = service.is_running
            service.step()
            if service.is_running != was_running:
                self._write_state()  # at once: a process that is not written down may be lost
        self._write_state()

    def _write_state(self) -> None:
        records = [service.record() for service in self._services.values()]
        state = StackState(self._me, records)
        if state != self._written:
            write_state(self._layout.state_file, state)
            self._written = state

    def _stop_services(self) -> None:
        """Stop all but the first (the broker), so that they can still commit; then the first."""
        first, *others = self._services.values()
        for wave in (others, [first]):
            for service in wave:
                service.stop()
            while any(service.is_running for service in wave):
                self._step()
                time.sleep(_STEP_SECONDS)  # children signal their end only to a blocking wait
        self._write_state()
