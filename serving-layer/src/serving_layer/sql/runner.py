"""Starts the child process of a query, waits for it, and ends it when it takes too long."""

import asyncio
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from serving_layer.errors import ParameterError, UpstreamError
from serving_layer.front_door.limits import Slots
from serving_layer.front_door.refusals import BusyError
from serving_layer.run_watcher import RunWatcher
from serving_layer.settings import Settings
from serving_layer.sql.tables import Body, write_tables
from serving_layer.views.snapshot import Snapshot
from serving_layer.views.streams import topic_partition

AT_ONCE = 2
_STARTING_SECONDS = 20.0
_GRACE_SECONDS = 2.0
"""The child ends itself in time; if it does not, it is ended so much later."""


class SqlRunner:
    """Answers queries, ``AT_ONCE`` at a time."""

    def __init__(self, settings: Settings, watcher: RunWatcher) -> None:
        self._settings = settings
        self._watcher = watcher
        self._slots = Slots(AT_ONCE)
        self._folder = settings.data_dir / "sql"
        shutil.rmtree(self._folder, ignore_errors=True)  # of a process that was killed

    async def answer(self, query: str, snapshot: Snapshot, alerts: list[Body], limit: int) -> Any:  # noqa: ANN401
        """Return columns, rows, and whether there are more rows.

        Raises:
            ParameterError: If the query is refused, wrong, too slow or too large.
            BusyError: If too many queries are running.
            UpstreamError: If the run's files went away, or no process can be started.
        """
        if not self._slots.take():
            raise BusyError(f"{AT_ONCE} queries are being answered; try again")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                job = await asyncio.to_thread(self._job, snapshot, alerts, Path(folder))
                job |= {"query": query, "max_rows": limit}
                return await self._run(job, folder)
        finally:
            self._slots.give_back()

    def _job(self, snapshot: Snapshot, alerts: list[Body], folder: Path) -> dict[str, Any]:
        files: dict[str, Any] = dict(write_tables(snapshot, alerts, folder))
        manifest = snapshot.batch.manifest
        try:
            files["batch"] = [] if manifest is None else self._watcher.copies(manifest)
        except OSError as error:
            raise UpstreamError("another run was published meanwhile; ask again") from error
        return {
            "files": files,
            "seam": [(*topic_partition(s), offset) for s, offset in snapshot.batch.seam.items()],
            "memory_bytes": self._settings.sql_memory_mb << 20,
            "seconds": self._settings.sql_timeout.total_seconds(),
        }

    async def _run(self, job: dict[str, Any], folder: str) -> Any:  # noqa: ANN401
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-m",
            "serving_layer.sql.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"},
        )
        try:
            output = await self._output(process, job)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if process.returncode != 0 or not output:
            raise _stopped(job, process.returncode)
        answer = orjson.loads(output)
        if "error" in answer:
            raise ParameterError("query", answer["error"])
        return answer

    async def _output(self, process: asyncio.subprocess.Process, job: dict[str, Any]) -> bytes:
        if process.stdin is None or process.stdout is None:
            raise UpstreamError("the process of the query has no pipes")
        process.stdin.write(orjson.dumps(job))
        process.stdin.close()
        try:
            async with asyncio.timeout(_STARTING_SECONDS):
                await process.stdout.read(1)
        except TimeoutError:
            raise UpstreamError("the process of the query did not start in time") from None
        try:
            async with asyncio.timeout(job["seconds"] + _GRACE_SECONDS):
                output = await process.stdout.read()
                await process.wait()
        except TimeoutError:
            raise _too_slow(job) from None
        return output


def _too_slow(job: dict[str, Any]) -> ParameterError:
    return ParameterError("query", f"took longer than {job['seconds']:g} s")


def _stopped(job: dict[str, Any], status: int | None) -> ParameterError:
    """Return what a process that ended without an answer ran into."""
    if status in {-24, -9}:  # SIGXCPU, then SIGKILL: the limit on processor time
        return _too_slow(job)
    return ParameterError(
        "query", f"was stopped: it needs more than {job['memory_bytes'] >> 20} MiB of memory"
    )
