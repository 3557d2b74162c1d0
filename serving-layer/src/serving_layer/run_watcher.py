"""Follow ``security/CURRENT``: load each newly published run, keep the old one if that fails."""

import asyncio
import logging
import time
from datetime import timedelta
from pathlib import Path

from contracts.errors import LakeError
from contracts.lake import CURRENT, RUNS, SECURITY, read_current
from contracts.views import Manifest
from serving_layer.errors import DamagedFileError, MissingFileError, RunError
from serving_layer.metrics import Metrics
from serving_layer.views.batch import BatchView
from serving_layer.views.event_files import EventFileCache
from serving_layer.views.loading import load_run, read_manifest
from serving_layer.views.scratch import Scratch
from serving_layer.views.snapshot import Views

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 2.0


class RunWatcher:
    """Loads runs in a thread and publishes them on the event loop."""

    def __init__(
        self, lake: Path, data_dir: Path, interval: timedelta, views: Views, metrics: Metrics
    ) -> None:
        self._lake = lake
        self._cache = EventFileCache(data_dir / "event-files")
        self._scratch = Scratch(data_dir / "scratch")
        self._interval = interval.total_seconds()
        self._views = views
        self._metrics = metrics
        self._look = asyncio.Event()
        self.failure: RunError | None = None
        """Why the run that ``CURRENT`` names is not served; None when it is."""
        self.loaded_at: float | None = None

    def look_now(self) -> None:
        """Look for a new run without waiting for the next interval."""
        self._look.set()

    async def run(self) -> None:
        """Follow ``CURRENT`` until cancelled."""
        while True:
            self._look.clear()
            wait = self._interval
            try:
                await self.check()
            except RunError as error:
                self._failed(error)
                wait = max(wait, _RETRY_SECONDS)
            except OSError as error:  # ours: no space for copies, no permission
                self._failed(
                    RunError(str(error.filename or SECURITY), error.strerror or str(error))
                )
                wait = max(wait, _RETRY_SECONDS)
            except Exception as error:  # a file nobody foresaw must not end the watch for good
                logger.exception("loading a run")
                self._failed(RunError(str(SECURITY), f"{type(error).__name__}: {error}"))
                wait = max(wait, _RETRY_SECONDS)
            try:
                await asyncio.wait_for(self._look.wait(), wait)
            except TimeoutError:
                continue

    async def check(self) -> None:
        """Load and publish the run that ``CURRENT`` names, if it is not the served one.

        Without ``CURRENT`` the served run stays, or else everything comes from the speed layer.

        Raises:
            RunError: If it cannot be loaded, or ``CURRENT`` is not what it should be.
        """
        run_id = await asyncio.to_thread(self._named)
        loaded = self._views.loaded
        if loaded is None or run_id not in (None, loaded.batch.run_id):
            await self._exchange(run_id)
        if run_id is None and await asyncio.to_thread(self._had_runs):
            raise MissingFileError(str(CURRENT), "missing or empty, although runs were published")
        self.failure = None

    def copies(self, manifest: Manifest) -> list[str]:
        """Return our copies of a served run's event files; blocks.

        Raises:
            OSError: If a file is gone because another run was published.
        """
        return [str(path) for path in self._cache.copies(self._lake / SECURITY, manifest)]

    def _named(self) -> str | None:
        try:
            return read_current(self._lake)
        except LakeError as error:
            raise DamagedFileError(str(CURRENT), str(error)) from error

    def _had_runs(self) -> bool:
        loaded = self._views.loaded
        is_serving_one = loaded is not None and loaded.batch.run_id is not None
        return is_serving_one or any((self._lake / RUNS).glob("*/manifest.json"))

    async def _exchange(self, run_id: str | None) -> None:
        batch = await asyncio.to_thread(self._load, run_id)
        async with self._views.rearranging:  # no large index may come that was not cut
            loaded = self._views.loaded
            parts = (
                await asyncio.to_thread(loaded.realtime.parts_above, batch.seam) if loaded else None
            )
            self._views.publish(batch, parts)
        self.loaded_at = time.time()
        named = {} if run_id is None else {"run_id": run_id}
        logger.info("serving run %s, %d events", run_id, batch.rows, extra=named)
        if batch.manifest is not None:
            files = batch.manifest.event_files
            await asyncio.to_thread(self._cache.retain, self._lake / SECURITY, files)

    def _load(self, run_id: str | None) -> BatchView:
        if run_id is None:
            return BatchView()
        manifest = read_manifest(self._lake, run_id)
        loaded = self._views.loaded
        previous = loaded.batch.indexes if loaded else ()
        interners = self._views.interners
        return load_run(self._lake, manifest, self._cache, interners, self._scratch, previous)

    def _failed(self, error: RunError) -> None:
        if self.failure is None or self.failure.detail != error.detail:
            logger.error("cannot load the published run: %s", error.detail)
        self.failure = error
        self._metrics.run_load_failures.labels(type(error).__name__).inc()
        if self._views.loaded is None:
            self._views.waiting_for(f"the published run cannot be loaded: {error.detail}")
