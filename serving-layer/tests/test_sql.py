"""``/api/sql``: the right answers, and a set of attacks on each of its walls."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from serving_layer.sql import worker
from serving_layer.sql.statements import StatementError, check
from serving_layer.testing import (
    RunPartition,
    alert_record,
    event_record,
    publish_run,
    user_record,
)

TOPIC = "security-events"


@pytest.fixture(scope="module")
def api(shared):
    records = [
        event_record(n, user="alice" if n % 3 else "bob", is_anomaly=n in (1, 5), threat_score=None)
        for n in range(6)
    ]
    # The file holds a row above the seam, as files of a run that was cut short may.
    run = RunPartition(TOPIC, 0, records[:4], 3, alerts=[alert_record(TOPIC, 0, 1)])
    publish_run(shared.lake, "r1", [run], [user_record("manager", is_anomaly=True, score=0.9)])
    part = shared.speed.partition(TOPIC, 0)
    part.append(records)
    part.alerts.append(alert_record(TOPIC, 0, 5))
    return shared.start(sql_enabled=True, sql_memory_mb=128, sql_max_rows=50)


def asked(api, query, **more):
    return api.http.post("/api/sql", json={"query": query, **more})


def rows(api, query):
    response = asked(api, query)
    assert response.status_code == 200, response.text
    return response.json()["rows"]


def test_both_layers_are_one_table(api):
    query = (
        "SELECT source, \"offset\", user, is_anomaly, time_anomaly, time, raw->>'$.event_id' "
        'FROM events ORDER BY "offset"'
    )

    found = rows(api, query)

    assert [row[:4] for row in found] == [
        ["batch", 0, "bob", False], ["batch", 1, "alice", True], ["batch", 2, "alice", False],
        ["realtime", 3, "bob", False], ["realtime", 4, "alice", False], ["realtime", 5, "alice", True],
    ]  # fmt: skip
    assert found[1][4:] == [0.5, "2023-11-14T22:13:20.001000", "evt_000000000001"]
    assert found[0][4] is None
    assert len(found) == api.json("/api/events/count")["count"]


def test_alerts_users_with_and_names_in_capitals(api):
    query = """
        WITH worst AS (SELECT user FROM Users WHERE is_anomaly)
        SELECT a.source, (SELECT max(user) FROM worst), sum(a.event_count)
        FROM ALERTS a, range(2) GROUP BY ALL ORDER BY 1
    """

    assert rows(api, query) == [["batch", "manager", 6], ["realtime", "manager", 6]]


def test_more_rows_than_allowed_are_cut_and_said_so(api):
    answer = asked(api, "SELECT * FROM range(100)", limit=7).json()

    assert (len(answer["rows"]), answer["truncated"]) == (7, True)
    assert asked(api, "SELECT 1", limit=51).json()["errors"][0]["parameter"] == "limit"


def test_values_that_json_cannot_hold_are_still_answered(api):
    query = "SELECT 2::HUGEINT ** 80, 'nan'::DOUBLE, '\\xff'::BLOB, {'a': [DATE '2024-01-01']}, 1.5"

    [row] = rows(api, query.replace("2::HUGEINT ** 80", "(2**62)::HUGEINT * 1024"))

    assert row[:4] == [str(2**72), None, "\ufffd", {"a": ["2024-01-01"]}]


@pytest.mark.parametrize(
    "query",
    [
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
        "SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000000) c "
        "WHERE a.range + b.range + c.range = 1",
    ],
    ids=["endless-recursion", "huge-cross-join"],
)
def test_a_query_without_end_is_422_after_the_time_set(stack, query):
    stack.start(sql_enabled=True, sql_timeout=timedelta(seconds=1))

    assert_refused(asked(stack, query), "took longer than 1 s")


@pytest.mark.parametrize(
    ("query", "why"),
    [
        pytest.param("SELECT len(repeat('x', 2000000000))", "memory", id="huge-text"),
        pytest.param("SELECT * FROM events ORDER BY nothing", "nothing", id="unknown-column"),
        pytest.param("COPY events TO 'x.csv'", "only SELECT is allowed", id="no-select"),
    ],
)
def test_a_query_that_meets_a_limit_or_is_refused_is_422_and_says_why(api, query, why):
    assert_refused(asked(api, query), why)


def assert_refused(response, why):
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["parameter"] == "query"
    assert why in response.json()["detail"]


ATTACKS = [
    "COPY events TO '/tmp/out.csv'",
    "COPY (SELECT 1) TO '/tmp/out.parquet' (FORMAT parquet)",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/proc/self/environ')",
    "SELECT * FROM read_json('/etc/hosts')",
    "SELECT * FROM read_parquet('s3://bucket/x')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM 'https://example.org/x.csv'",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT (SELECT content FROM read_text('/etc/passwd')) FROM events",
    "SELECT * FROM events, LATERAL (SELECT * FROM glob('/*'))",
    "WITH x AS (SELECT * FROM read_text('/etc/passwd')) SELECT * FROM x",
    "SELECT 1 UNION ALL SELECT content FROM read_text('/etc/passwd')",
    "ATTACH '/tmp/other.db'",
    "ATTACH ':memory:' AS other",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '/tmp/evil.duckdb_extension'",
    "SET memory_limit = '100GB'",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "RESET memory_limit",
    "PRAGMA database_list",
    "PRAGMA enable_profiling",
    "CALL pragma_version()",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY events TO '/tmp/out.csv'",
    "CREATE TABLE t AS SELECT 1",
    "CREATE MACRO m() AS 1",
    "CREATE SECRET s (TYPE s3)",
    "INSERT INTO events SELECT * FROM events",
    "DELETE FROM alerts",
    "DROP VIEW events",
    "EXPORT DATABASE '/tmp/out'",
    "IMPORT DATABASE '/tmp/out'",
    "CHECKPOINT",
    "EXPLAIN ANALYZE SELECT 1",
    "DESCRIBE events",
    "SHOW TABLES",
    "USE memory",
    "PREPARE p AS SELECT 1",
    "SELECT getenv('HOME')",
    "SELECT current_setting('memory_limit')",
    "SELECT GetEnv('HOME')",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_functions()",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_catalog.pg_tables",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM batch_rows",
    "SELECT * FROM memory.main.events",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('events')",
    "SELECT * FROM json_execute_serialized_sql('{}')",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    "SELECT * FROM pandas_scan(1)",
    "SELECT * FROM python_map_function(1)",
    "SELECT * FROM test_all_types()",
    "SELECT * FROM repeat_row(1, num_rows = 1000000000)",
    "SELECT write_log('x')",
    "SELECT " + "(" * 3000 + "1" + ")" * 3000,
    "not sql at all",
    "",
    ";",
]


@pytest.fixture(scope="module")
def locked():
    connection = duckdb.connect(":memory:")
    for name in ("events", "alerts", "users", "batch_rows"):
        connection.register(name, pa.table({"a": [1]}))
    worker._lock(connection, 64 << 20)
    yield connection
    connection.close()


@pytest.mark.parametrize("query", ATTACKS)
def test_the_first_wall_lets_one_select_over_the_tables_through(locked, query):
    with pytest.raises((StatementError, duckdb.Error)):
        check(locked, query)


BEHIND = [
    each for each in ATTACKS if any(word in each for word in ("/", "httpfs", "SET ", "RESET "))
]


@pytest.mark.parametrize("query", [each for each in BEHIND if not each.startswith("SELECT 1;")])
def test_behind_it_files_network_extensions_and_settings_are_gone(
    locked, query, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((duckdb.Error, RuntimeError)):
        locked.execute(query).fetchall()
    assert not Path("/tmp/out.csv").exists()


def test_the_child_has_no_environment_and_cannot_write(api, tmp_path):
    """Whatever a query managed to do, this is what its process may."""
    code = (
        "import os, resource, orjson; from serving_layer.sql import worker; "
        "worker._lower_limits({'memory_bytes': 1 << 26, 'seconds': 3}); "
        "print(sorted(os.environ), resource.getrlimit(resource.RLIMIT_FSIZE)); "
        "open('/etc/passwd')"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], env={"LANG": "C.UTF-8"}, capture_output=True, text=True,
        cwd=tmp_path,
    )  # fmt: skip

    assert done.stdout.strip() == "['LANG'] (0, 0)" or "LC_CTYPE" in done.stdout
    assert "Too many open files" in done.stderr


def test_sql_is_off_unless_enabled(stack):
    stack.start()

    assert stack.get("/api/sql").status_code == 404
    assert asked(stack, "SELECT 1").status_code == 404
