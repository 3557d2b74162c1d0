"""Earlier batch runs, loaded when somebody asks for them: ``as_of_run=`` and ``as_of=``.

An answer as of a run is what that run holds, without the realtime view: the seam is its end.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from contracts.lake import RUNS, SECURITY
from contracts.views import Manifest
from serving_layer.errors import MissingFileError, NotFoundError, RunError, UpstreamError
from serving_layer.views.event_files import EventFileCache
from serving_layer.views.loading import load_run, read_manifest
from serving_layer.views.realtime import RealtimeView
from serving_layer.views.scratch import Scratch
from serving_layer.views.snapshot import Snapshot, Views

KEPT = 2
"""Runs held in memory beside the served one; the one asked for longest ago goes first."""


class EarlierRuns:
    """Loads runs of the lake on demand, one at a time."""

    def __init__(self, lake: Path, data_dir: Path, views: Views) -> None:
        self._lake = lake
        self._views = views
        # A folder of its own: the watcher deletes copies that the served run does not list.
        self._cache = EventFileCache(data_dir / "earlier-event-files")
        self._scratch = Scratch(data_dir / "scratch")
        self._held: OrderedDict[str, Snapshot] = OrderedDict()
        self._lock = asyncio.Lock()

    async def as_of_run(self, run_id: str) -> Snapshot:
        """Return what a run holds.

        Raises:
            NotFoundError: If the lake keeps no such run.
            UpstreamError: If one of its files is missing or damaged.
        """
        async with self._lock:
            if run_id not in self._held:
                manifest = await asyncio.to_thread(self._manifest, run_id)
                self._held[run_id] = await asyncio.to_thread(self._load, manifest)
                while len(self._held) > KEPT:
                    self._held.popitem(last=False)
            self._held.move_to_end(run_id)
            return self._held[run_id]

    async def as_of(self, time_ms: int) -> Snapshot:
        """Return what the newest run holds that was made at or before a time.

        Raises:
            NotFoundError: If the lake keeps none so old.
        """
        made = await asyncio.to_thread(
            lambda: [each for each in self.manifests() if each.created_at <= time_ms]
        )
        if not made:
            raise NotFoundError("the lake keeps no run that is so old; see /api/runs")
        newest = max(made, key=lambda each: (each.created_at, each.run_id))
        return await self.as_of_run(newest.run_id)

    def manifests(self) -> Iterator[Manifest]:
        """Yield every complete run's manifest; blocks."""
        for directory in (self._lake / RUNS).glob("*/"):
            try:
                yield read_manifest(self._lake, directory.name)
            except RunError:
                continue  # without a manifest a run is not complete

    def _manifest(self, run_id: str) -> Manifest:
        try:
            return read_manifest(self._lake, run_id)
        except MissingFileError:
            raise NotFoundError(f"the lake keeps no run {run_id!r}") from None
        except RunError as error:
            raise UpstreamError(f"the run cannot be loaded: {error.detail}") from error

    def _load(self, manifest: Manifest) -> Snapshot:
        loaded = self._views.loaded
        served = loaded.batch.indexes if loaded else ()
        interners = self._views.interners
        try:
            batch = load_run(self._lake, manifest, self._cache, interners, self._scratch, served)
        except RunError as error:
            raise UpstreamError(f"the run cannot be loaded: {error.detail}") from error
        self._cache.retain(self._lake / SECURITY, manifest.event_files)
        return Snapshot(batch, RealtimeView(interners), is_live=False)
