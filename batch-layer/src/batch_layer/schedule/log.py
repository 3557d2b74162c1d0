"""How each job of the schedule last went, in one JSON file: missed times are known after a stop."""

import json
import logging
import threading
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from batch_layer.security.files import sync
from contracts.log_lines import described

logger = logging.getLogger(__name__)

FILE = "schedule.json"

JobStatus = Literal["RUNNING", "COMPLETED", "FAILED", "SKIPPED", "INTERRUPTED"]


class JobRun(BaseModel):
    """One run of a job."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    status: JobStatus = Field(
        description="SKIPPED: another run of its kind was going on; INTERRUPTED: the service ended."
    )
    start_time: datetime
    end_time: datetime | None = None
    message: str | None = Field(None, description="What came of it, or why it failed.")
    failures: int = Field(0, description="How many times in a row it has failed.")


_RUNS = TypeAdapter(dict[str, JobRun])


class ScheduleLog:
    """The last run of each job; safe to share between threads."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / FILE
        self._lock = threading.Lock()
        self._runs = read_log(directory)

    def last(self, job: str) -> JobRun | None:
        """Return how a job last went; None if it never ran."""
        with self._lock:
            return self._runs.get(job)

    def put(self, job: str, run: JobRun) -> None:
        """Replace a job's last run."""
        with self._lock:
            self._runs[job] = run
            draft = self._path.with_name(f".{FILE}")
            draft.write_bytes(_RUNS.dump_json(self._runs, by_alias=True, indent=1))
            sync(draft)
            draft.replace(self._path)


def read_log(directory: Path) -> dict[str, JobRun]:
    """Return every job's last run; a file that cannot be read counts as none, with a warning."""
    path = directory / FILE
    if not path.exists():
        return {}
    try:
        return _RUNS.validate_python(json.loads(path.read_bytes()))
    except (OSError, ValueError, ValidationError) as error:
        logger.warning(
            "%s cannot be read, missed times are not made up for: %s", path, described(error)
        )
        return {}
