"""Processes that can be found again later, and ended without touching any other."""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

_START_TOLERANCE_SECONDS = 2.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process id that cannot be mistaken for a later process with the same number.

    Every process recorded here leads a process group of its own, so what it started
    (Spark's Java, for one) can be found and ended even after it is gone itself.
    """

    pid: int
    started_at: float

    @classmethod
    def of(cls, pid: int) -> "ProcessId":
        """Record a running process.

        Raises:
            psutil.NoSuchProcess: there is none.
        """
        return cls(pid, psutil.Process(pid).create_time())

    def is_alive(self) -> bool:
        """Say whether this very process still runs (a zombie does not)."""
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return abs(process.create_time() - self.started_at) < _START_TOLERANCE_SECONDS
        except psutil.NoSuchProcess:
            return False

    def group(self) -> list[psutil.Process]:
        """Return the living members of the process group this process leads or led."""
        if psutil.pid_exists(self.pid) and not self._is_ours():
            return []  # the number has been given to a stranger: our group is gone
        members = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError, PermissionError):
                if os.getpgid(process.pid) != self.pid:
                    continue
                if process.status() != psutil.STATUS_ZOMBIE:
                    members.append(process)
        return members

    def memory_bytes(self) -> int:
        """Return the resident memory of the whole group."""
        total = 0
        for process in self.group():
            with suppress(psutil.Error):
                total += process.memory_info().rss
        return total

    def send(self, number: signal.Signals) -> None:
        """Signal this process alone, if it still runs."""
        if self.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill_group(self) -> None:
        """End what is left of the group at once."""
        for process in self.group():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _is_ours(self) -> bool:
        try:
            started_at = psutil.Process(self.pid).create_time()
        except psutil.NoSuchProcess:
            return True
        return abs(started_at - self.started_at) < _START_TOLERANCE_SECONDS


def stop_all(processes: Sequence[ProcessId], timeout_seconds: float) -> None:
    """Ask processes to stop, wait, and end what has not stopped by then."""
    for process in processes:
        process.send(signal.SIGTERM)
    wait_until_gone(processes, timeout_seconds)
    for process in processes:
        process.kill_group()
    wait_until_gone(processes, timeout_seconds)


def wait_until_gone(processes: Sequence[ProcessId], timeout_seconds: float) -> bool:
    """Return True when none of them runs, False when time is up."""
    deadline = time.monotonic() + timeout_seconds
    while any(process.is_alive() for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)  # they are not our children: nothing signals their end
    return True
