"""Speed-layer processes forked from one that has everything loaded, and killed at chosen steps.

Starting Python, compiling detection and joining a group takes seconds; a fork takes
milliseconds. So a test can afford hundreds of processes that end by SIGKILL.
"""

import ctypes
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Self, cast

from speed_layer import __main__ as service
from speed_layer import partition, recovery, store
from speed_layer.consumer import SpeedLayer
from speed_layer.housekeeping import Housekeeping
from speed_layer.partition import Partition
from speed_layer.store import Store
from speed_layer.testing import SpeedProcess

STEPS: dict[str, tuple[object, str, bool]] = {
    "consumed": (Partition, "process", False),
    "processed": (Partition, "write", False),
    "in-transaction": (store, "_write_position", False),
    "in-snapshot": (store, "_write_snapshot", False),
    "stored": (Partition, "write", True),
    "acknowledged": (Store, "remove_from_outbox", False),
    "forgotten": (Store, "remove_from_outbox", True),
    "committing": (Housekeeping, "commit_offsets", False),
    "opening": (partition, "recover", False),
    "replaying": (recovery, "_feed", True),
    "opened": (SpeedLayer, "_fetch", False),
    "assigned": (SpeedLayer, "_on_assign", True),
    "revoking": (SpeedLayer, "_on_revoke", False),
    "releasing": (SpeedLayer, "_close_partition", True),
}
"""Where a process can kill itself: owner, function, and whether before it or after it."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["__main__", "speed_layer.warmed"])


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a process.

    Attributes:
        step: Key of ``STEPS`` at which it kills itself; empty for nowhere.
        count: At which time of passing there.
        slow_seconds: Pause before each micro-batch, so that others find it at work.
        disk: Process whose ``small_disk`` it sees; 0 for the disk of everybody.
    """

    step: str = ""
    count: int = 1
    slow_seconds: float = 0.0
    disk: int = 0

    def install(self) -> None:
        """Make this process behave so."""
        if self.disk:
            _join_namespaces(self.disk)
        if self.slow_seconds:
            around(Partition, "process", before=lambda: time.sleep(self.slow_seconds))
        if self.step:
            owner, name, after = STEPS[self.step]
            left = [self.count]

            def step() -> None:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            around(owner, name, **{"after" if after else "before": step})


_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000  # from <sched.h>


def _join_namespaces(pid: int) -> None:
    """See the mounts of another process; possible as long as there is one thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    if libc.setns(process, _CLONE_NEWUSER | _CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(process)


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[int]:
    """Mount a file system of its own over a folder, for those who join its namespaces.

    Yields:
        A process that sees it; everybody else finds the files below ``/proc/<pid>/root``.

    Raises:
        PermissionError: The system does not allow it here.
    """
    if shutil.which("unshare") is None:
        raise PermissionError("there is no unshare(1)")
    mount = f'mount -t tmpfs -o size={size_bytes} none "$0" && echo mounted && exec cat'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as holder:
        if holder.stdin is None or holder.stdout is None or holder.stderr is None:
            raise RuntimeError("pipes were asked for")
        if holder.stdout.readline() != b"mounted\n":
            raise PermissionError(holder.stderr.read().decode().strip())
        try:
            yield holder.pid
        finally:
            holder.stdin.close()


def _nothing() -> None:
    pass


def around(
    owner: object,
    name: str,
    before: Callable[[], None] = _nothing,
    after: Callable[[], None] = _nothing,
) -> None:
    """Have a function do something before it, and after it unless it raises."""
    original: Callable[..., object] = getattr(owner, name)

    def wrapped(*args: object, **kwargs: object) -> object:
        before()
        result = original(*args, **kwargs)
        after()
        return result

    setattr(owner, name, wrapped)


class _Forked:
    """As much of ``subprocess.Popen`` as ``SpeedProcess`` uses."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        self.pid = process.pid

    def send_signal(self, number: int) -> None:
        if self._process.is_alive() and self.pid is not None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("speed_layer", timeout or 0)
        return self._process.exitcode


class ForkedSpeedProcess(SpeedProcess):
    """``python -m speed_layer`` without the time that starting takes."""

    def __init__(self, path: Path, port: int, settings: Mapping[str, str]) -> None:
        super().__init__(path, port, settings)
        self._settings = {"SPEED_PORT": str(port), **settings}
        self.fault = Fault()

    def start(self) -> Self:
        """Start the process; does not wait until it is ready."""
        self.log_file.touch()
        arguments = (self._settings, self.log_file, self.fault)
        process = _context.Process(target=_serve, args=arguments)
        process.start()
        self.process = cast("subprocess.Popen[bytes]", _Forked(process))
        return self

    def ended(self, timeout_seconds: float) -> bool:
        """Return whether it came to its end by itself within the time given."""
        try:
            if self.process is not None:
                self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def _serve(settings: Mapping[str, str], log_file: Path, fault: Fault) -> None:
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(settings)
    fault.install()
    sys.exit(service.main())
