"""How far a run is: its stage, and within detection events, rate and time left."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from batch_layer import metrics

STAGES = ("ingestion", "detection", "models", "publication")
FOLDER = "progress"
"""In a run's folder while detection runs: a file per partition, with its records so far."""

_POLL_SECONDS = 1.0


class RunProgress(BaseModel):
    """How far a run is: stage ``done`` of ``total``; the rest only while events are counted."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    stage: str
    done: int
    total: int
    events: int | None = Field(None, description="Events the stage has processed.")
    total_events: int | None = Field(None, description="Events it has to process.")
    events_per_second: float | None = None
    seconds_left: float | None = None


class Progress:
    """Tells how far a run is, and how long each stage took.

    Args:
        report: Told as each stage begins, and every second while events are counted.
        check_cancelled: Called as each stage begins; raises to end the run.
    """

    def __init__(
        self,
        report: Callable[[RunProgress], None] = lambda _: None,
        check_cancelled: Callable[[], None] = lambda: None,
    ) -> None:
        self._report = report
        self._check_cancelled = check_cancelled
        self._now = RunProgress(stage=STAGES[0], done=0, total=len(STAGES))
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Report and time a stage."""
        self._check_cancelled()
        self._now = RunProgress(stage=name, done=STAGES.index(name), total=len(STAGES))
        self._report(self._now)
        started = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - started
            self.seconds[name] = round(self.seconds.get(name, 0.0) + seconds, 3)
            metrics.RUN_STAGE_SECONDS.labels(name).observe(seconds)

    @contextmanager
    def counting(self, run_directory: Path, total_events: int) -> Iterator[None]:
        """Report what the tasks of a run tell of their records, every second."""
        ended = threading.Event()
        started = time.monotonic()

        def poll() -> None:
            while not ended.wait(_POLL_SECONDS):
                events = counted(run_directory)
                rate = events / (time.monotonic() - started)
                left = round((total_events - events) / rate, 1) if rate else None
                counts = {"events": events, "total_events": total_events}
                times = {"events_per_second": round(rate, 1), "seconds_left": left}
                self._report(self._now.model_copy(update=counts | times))

        thread = threading.Thread(target=poll, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            shutil.rmtree(run_directory / FOLDER, ignore_errors=True)


def tell(run_directory: Path, partition: str, records: int) -> None:
    """Say, from a task, how many records of a partition are done."""
    path = run_directory / FOLDER / partition
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(records), encoding="ascii")


def counted(run_directory: Path) -> int:
    """Return how many records the tasks of a run have told of."""
    total = 0
    for path in (run_directory / FOLDER).glob("*"):
        with suppress(OSError, ValueError):  # just being written
            total += int(path.read_text(encoding="ascii"))
    return total


def sentence(progress: RunProgress) -> str:
    """Return progress as a line for a person.

    Examples:
        >>> sentence(RunProgress(stage="detection", done=1, total=4, events=50, total_events=200,
        ...                      events_per_second=25.0, seconds_left=6.0))
        '2/4 detection: 50 of 200 events, 25/s, 6 s left'
    """
    head = f"{progress.done + 1}/{progress.total} {progress.stage}"
    if progress.events is None:
        return head
    left = "" if progress.seconds_left is None else f", {progress.seconds_left:.0f} s left"
    rate = f"{progress.events_per_second:,.0f}/s"
    return f"{head}: {progress.events:,} of {progress.total_events:,} events, {rate}{left}"
