"""The child process: ``python -m serving_layer.sql.worker``. One query, then it ends.

Reads a job (JSON) from standard input and writes an answer (JSON) to standard output. It lowers its
own limits before it looks at the query, and DuckDB runs without files, network, extensions and
settings: what the process could do is little, whatever the query manages to do.
"""

import math
import resource
import sys
import threading
from collections.abc import Sequence
from datetime import date, datetime
from datetime import time as clock
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from serving_layer.sql.statements import StatementError, check

Job = dict[str, Any]

READY = b"\n"
"""Written once the tables are there and the locks are set: the query's own time begins."""

_ROWS_AT_ONCE = 500
_MOST_BYTES = 16 * 2**20
_SLACK_BYTES = 192 * 2**20
"""What Python and Arrow need beside DuckDB's own limit."""

_COMPONENTS = (
    "time", "ip", "location", "type", "failure", "device", "process", "port", "path", "volume"
)  # fmt: skip
_EVENTS = """
CREATE VIEW events AS
SELECT event_id, "timestamp", epoch_ms("timestamp") AS "time", "user", event_type, status, source_ip,
       threat_score, anomaly_score, is_anomaly, reasons, {components},
       topic, "partition", "offset", ingested_at, source, TRY(decode(raw)) AS raw
FROM (
    SELECT rows.*, 'batch' AS source FROM batch_rows AS rows
    JOIN seam ON seam.topic = rows.topic AND seam.number = rows."partition"
    WHERE rows."offset" < seam.next_offset
    UNION ALL BY NAME
    SELECT *, 'realtime' AS source FROM realtime_rows
)
"""


def main() -> int:
    """Answer one job."""
    job: Job = orjson.loads(sys.stdin.buffer.read())
    try:
        answer = _answered(job)
    except StatementError as error:
        answer = {"error": str(error)}
    except duckdb.InterruptException:
        answer = {"error": f"took longer than {job['seconds']:g} s"}
    except (duckdb.OutOfMemoryException, MemoryError):
        answer = {"error": f"the query needs more than {job['memory_bytes'] >> 20} MiB of memory"}
    except (duckdb.Error, pa.ArrowException, RecursionError) as error:
        answer = {"error": _first_lines(error)}
    sys.stdout.buffer.write(orjson.dumps(answer))
    return 0


def _answered(job: Job) -> dict[str, Any]:
    connection = duckdb.connect(":memory:")
    _add_tables(connection, job)
    _lock(connection, job["memory_bytes"])
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    timer = threading.Timer(job["seconds"], connection.interrupt)
    timer.daemon = True
    timer.start()
    _lower_limits(job)
    check(connection, job["query"])
    result = connection.execute(job["query"])
    columns = [{"name": each[0], "type": str(each[1])} for each in result.description or []]
    rows: list[list[Any]] = []
    size, truncated = 0, False
    while not truncated and (some := result.fetchmany(_ROWS_AT_ONCE)):
        for row in some:
            plain = [_plain(value) for value in row]
            size += len(orjson.dumps(plain))
            if len(rows) == job["max_rows"] or size > _MOST_BYTES:
                truncated = True
                break
            rows.append(plain)
    return {"columns": columns, "rows": rows, "truncated": truncated}


def _add_tables(connection: duckdb.DuckDBPyConnection, job: Job) -> None:
    files = job["files"]
    realtime = _mapped([files["realtime"]])
    batch = _mapped(files["batch"]) if files["batch"] else realtime.slice(0, 0)
    seam = {
        "topic": pa.array([topic for topic, _, _ in job["seam"]], pa.string()),
        "number": pa.array([number for _, number, _ in job["seam"]], pa.int32()),
        "next_offset": pa.array([offset for _, _, offset in job["seam"]], pa.int64()),
    }
    connection.register("batch_rows", batch)
    connection.register("realtime_rows", realtime)
    connection.register("seam", pa.table(seam))
    connection.register("alerts", _mapped([files["alerts"]]))
    connection.register("users", _mapped([files["users"]]))
    components = ", ".join(
        f"CASE WHEN isnan(components[{at}]) THEN NULL ELSE components[{at}] END AS {name}_anomaly"
        for at, name in enumerate(_COMPONENTS, start=1)
    )
    connection.execute(_EVENTS.format(components=components))


def _mapped(paths: Sequence[str]) -> pa.Table:
    """Return the rows of Arrow files without reading them into memory."""
    batches = []
    for path in paths:
        reader = pa.ipc.open_file(pa.memory_map(path))
        schema = reader.schema
        batches += [reader.get_batch(number) for number in range(reader.num_record_batches)]
    return pa.Table.from_batches(batches, schema)


def _lock(connection: duckdb.DuckDBPyConnection, memory_bytes: int) -> None:
    """Take files, network, extensions and settings away, in an order that can be done."""
    for statement in (
        "SET TimeZone = 'UTC'",
        "SET threads = 1",
        f"SET memory_limit = '{memory_bytes}B'",
        "SET temp_directory = ''",
        "SET python_enable_replacements = false",
        "SET autoinstall_known_extensions = false",
        "SET autoload_known_extensions = false",
        "SET allow_community_extensions = false",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ):
        connection.execute(statement)


def _lower_limits(job: Job) -> None:
    """Let this process neither grow, nor write, nor open, nor run on."""
    used = int(
        next(
            line.split()[1]
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("VmData")
        )
    )
    # Data, not address space: the mapped files count only there.
    most = used * 1024 + job["memory_bytes"] + _SLACK_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    seconds = math.ceil(job["seconds"]) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))


def _plain(value: object) -> Any:  # noqa: ANN401 - any JSON
    """Return a value that JSON can hold."""
    if value is None or isinstance(value, bool | str):
        return value if not isinstance(value, str) else value.encode(errors="replace").decode()
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode(errors="replace")
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(_plain(name)): _plain(each) for name, each in value.items()}
    if isinstance(value, datetime | date | clock):
        return value.isoformat()
    return str(value)


def _first_lines(error: Exception) -> str:
    return "\n".join(str(error).splitlines()[:4])[:1_000]


if __name__ == "__main__":
    sys.exit(main())
