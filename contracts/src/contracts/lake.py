"""Where things lie in the lake. Paths are relative to the lake's root.

::

    master/<topic>/                          Delta: raw records, append-only
    master/_checkpoints/<topic>/             Structured Streaming checkpoints
    security/CURRENT                         id of the run that is served, one line
    security/runs/<run id>/manifest.json     what the run holds, written last
    security/runs/<run id>/events/*.parquet  scored events new in this run
    security/runs/<run id>/alerts/*.parquet  alerts new in this run
    security/runs/<run id>/aggregates/*.parquet
    security/runs/<run id>/users/is_anomaly=0|1/*.parquet, _SUCCESS
    security/runs/<run id>/anomaly_report.json
    security/runs/<run id>/state/<topic>-<partition>.state
    security/runs/<run id>/models/           estimators (skops), parameters.json
    security/runs/<run id>/insights/         user patterns for analytics-insights
    stream/transactions/ stream/stream_aggregations/
    batches/<batch id>/raw/ batches/<batch id>/aggregated/<analysis>/
    seed/transactions/
"""

import os
import re
from pathlib import Path

from contracts.errors import DamagedPointerError

SECURITY = Path("security")
CURRENT = SECURITY / "CURRENT"
RUNS = SECURITY / "runs"
MASTER = Path("master")
STREAM_TRANSACTIONS = Path("stream/transactions")
STREAM_AGGREGATIONS = Path("stream/stream_aggregations")
BATCHES = Path("batches")
SEED_TRANSACTIONS = Path("seed/transactions")

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def run_directory(run_id: str) -> Path:
    """Return the folder of a security run."""
    return RUNS / run_id


def manifest_path(run_id: str) -> Path:
    """Return where a run's manifest lies."""
    return run_directory(run_id) / "manifest.json"


def state_name(topic: str, partition: int) -> str:
    """Return the file name of one partition's detection state."""
    return f"{topic}-{partition}.state"


def read_current(lake: Path) -> str | None:
    """Return the id of the published run, or None when nothing was published yet.

    Raises:
        DamagedPointerError: If ``CURRENT`` holds something that is no run id.
    """
    try:
        data = (lake / CURRENT).read_bytes()
    except FileNotFoundError:
        return None
    text = data.decode("ascii", errors="replace").strip()
    if text and not _RUN_ID.fullmatch(text):
        raise DamagedPointerError(f"{CURRENT} holds no run id: {data[:40]!r}")
    return text or None


def write_current(lake: Path, run_id: str) -> None:
    """Point readers at ``run_id``, atomically: a reader sees the old id or the new one."""
    target = lake / CURRENT
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    with temporary.open("w") as file:
        file.write(run_id + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
