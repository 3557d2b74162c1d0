"""Every list as CSV, Parquet or Arrow, by ``Accept``; nothing in it runs or breaks a reader."""

import csv
import io
import re

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serving_layer.exports import ARROW, CSV, PARQUET, csv_bytes, table_of
from serving_layer.testing import RunPartition, alert_record, event_record, publish_run

TOPIC = "security-events"


@pytest.fixture(scope="module")
def api(shared):
    records = [event_record(offset) for offset in range(4)]
    odd = orjson.loads(records[2]["raw"]) | {"colour": 5, "metadata": {"hostname": "h"}}
    records[2]["raw"] = orjson.dumps(odd)
    records[3]["raw"] = orjson.dumps(odd | {"colour": "=cmd()|'x'", "odd": "SURROGATE"})
    records[3]["raw"] = records[3]["raw"].replace(b"SURROGATE", b"\\ud800")
    publish_run(shared.lake, "r1", [RunPartition(TOPIC, 0, records[:1], 1)])
    part = shared.speed.partition(TOPIC, 0)
    part.alerts.append(alert_record(TOPIC, 0, 1))
    part.append(records)
    return shared.start(sql_enabled=True)


def exported(api, path, kind, **params):
    response = api.http.get(path, params=params or None, headers={"Accept": kind})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(kind)
    return response


def test_csv_pages_by_link(api):
    first = exported(api, "/api/events", CSV, limit=3, user="alice")
    rows = list(csv.DictReader(io.StringIO(first.text)))
    assert [row["offset"] for row in rows] == ["3", "2", "1"]
    assert rows[0]["colour"].startswith("'=cmd")
    assert orjson.loads(rows[0]["metadata"]) == {"hostname": "h"}
    assert first.headers["x-complete"] == "true"

    link = first.headers["link"]
    assert link.endswith('; rel="next"')
    second = exported(api, link[1:].split(">")[0], CSV)
    assert [row["offset"] for row in csv.DictReader(io.StringIO(second.text))] == ["0"]
    assert "link" not in second.headers


def test_parquet_and_arrow_hold_the_same_rows(api):
    parquet = pq.read_table(io.BytesIO(exported(api, "/api/events", PARQUET).content))
    arrow = pa.ipc.open_stream(exported(api, "/api/events", ARROW).content).read_all()

    assert parquet.to_pylist() == arrow.to_pylist()
    assert parquet["offset"].to_pylist() == [3, 2, 1, 0]
    assert parquet["colour"].to_pylist() == ["\"=cmd()|'x'\"", "5", None, None]
    alerts = pq.read_table(io.BytesIO(exported(api, "/api/alerts", PARQUET).content))
    assert alerts["status"].to_pylist() == ["open"]


def test_runs_and_rows_of_a_query_are_lists_too(api):
    runs = list(csv.DictReader(io.StringIO(exported(api, "/api/runs", CSV).text)))
    assert [(row["run_id"], row["events"]) for row in runs] == [("r1", "1")]

    question = {"query": 'SELECT "offset", user, user FROM events ORDER BY 1', "limit": 3}
    answer = api.http.post("/api/sql", json=question, headers={"Accept": PARQUET})
    assert (answer.status_code, answer.headers["content-type"]) == (200, PARQUET)
    assert (answer.headers["x-complete"], answer.headers["x-truncated"]) == ("true", "true")
    table = pq.read_table(io.BytesIO(answer.content))
    assert table.column_names == ["offset", "user", "user:2"]
    assert table["offset"].to_pylist() == [0, 1, 2]


def test_every_list_says_so_in_the_api_document(api):
    calls = {
        f"{method.upper()} {path}"
        for path, methods in api.json("/openapi.json")["paths"].items()
        for method, operation in methods.items()
        if {CSV, PARQUET, ARROW} <= operation["responses"].get("200", {}).get("content", {}).keys()
    }

    assert calls >= {
        "GET /api/events", "GET /api/anomalies", "GET /api/alerts", "GET /api/users",
        "GET /api/runs", "GET /api/analyses", "GET /api/suppressions", "POST /api/sql",
    }  # fmt: skip
    times = {"start_time": 0, "end_time": 9_000_000_000_000}
    for call in calls - {"POST /api/sql"}:
        path = re.sub(r"{\w+}", "HIGH", call.removeprefix("GET "))
        exported(api, path, CSV, **(times if path.endswith("/time-range") else {}))


def test_what_is_no_list_and_every_problem_stays_as_it_is(api):
    headers = {"Accept": CSV}
    one = api.http.get("/api/events/evt_000000000001", headers=headers)
    bad = api.http.get("/api/events", params={"limit": 0}, headers=headers)

    assert one.json()["offset"] == 1
    assert (bad.status_code, bad.headers["content-type"]) == (422, "application/problem+json")
    assert exported(api, "/api/events", PARQUET, user="nobody").content[:4] == b"PAR1"
    assert api.http.get("/api/events", headers={"Accept": "*/*"}).json()["data"]


def test_values_that_no_column_holds_become_text():
    rows = [{"a": 2**70, "b": "\ud800"}, {"a": 1, "b": "x"}, {"a": 1.5, "c": True}]

    assert table_of(rows)["b"].type == pa.string()
    assert table_of(rows)["c"].to_pylist() == [None, None, True]
    assert csv_bytes([{"a": "-1+1", "b": -1}]) == b"a,b\n'-1+1,-1\n"
