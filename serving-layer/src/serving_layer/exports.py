"""Lists as CSV, Parquet or Arrow, for whoever asks by ``Accept``.

A page is made as JSON and then written anew: filters, cursors and limits are the same. ``Link`` names
the next page, ``X-Complete`` says whether a part of the data was missing, and ``X-Truncated`` whether
a SQL query had more rows than were asked for.
"""

import asyncio
import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Row = dict[str, Any]

CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.stream"

_RUNS, _SQL = "/api/runs", "/api/sql"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Exports:
    """Writes JSON lists in the format that a request accepts; leaves everything else alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = _wanted(scope) if scope["type"] == "http" else None
        if wanted is None:
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = bytearray()

        async def written(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_json(message):
                start = message
            elif message["type"] == "http.response.body" and start is not None:
                body.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    await _answer(scope, start, bytes(body), wanted, send)
            else:
                await send(message)

        await self._app(scope, receive, written)


def _wanted(scope: Scope) -> str | None:
    accept = Headers(scope=scope).get("accept", "")
    asks = scope["method"] == "GET" or (scope["method"] == "POST" and scope["path"] == _SQL)
    if not asks or not scope["path"].startswith("/api/"):
        return None
    types = [each.split(";")[0].strip().lower() for each in accept.split(",")]
    return next((each for each in types if each in _WRITERS), None)


def _is_json(message: Message) -> bool:
    return message["status"] == 200 and Headers(raw=message["headers"]).get(
        "content-type", ""
    ).startswith("application/json")


async def _answer(scope: Scope, start: Message, body: bytes, wanted: str, send: Send) -> None:
    headers = MutableHeaders(raw=list(start["headers"]))
    page = _parsed(body)
    rows = _rows(scope["path"], page)
    if rows is not None:
        body = await asyncio.to_thread(_WRITERS[wanted], rows)
        headers["content-type"] = wanted
        headers["x-complete"] = str(page.get("complete", True)).lower()
        if "truncated" in page:
            headers["x-truncated"] = str(page["truncated"]).lower()
        if page.get("next_cursor"):
            query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
            following = urlencode(query | {"cursor": page["next_cursor"]})
            headers["link"] = f'<{scope["path"]}?{following}>; rel="next"'
    headers["vary"] = "Accept"
    headers["content-length"] = str(len(body))
    await send({**start, "headers": headers.raw})
    await send({"type": "http.response.body", "body": body})


def _parsed(body: bytes) -> dict[str, Any]:
    page: dict[str, Any]
    try:
        page = orjson.loads(body)
    except orjson.JSONDecodeError:  # an event with lone surrogates
        page = json.loads(body)
    return page


def _rows(path: str, page: dict[str, Any]) -> list[Row] | None:
    """Return the rows of a body, None for one that is no list."""
    if path == _SQL:
        return _sql_rows(page) if "rows" in page else None
    rows = page.get("runs" if path == _RUNS else "data")
    return rows if isinstance(rows, list) else None


def _sql_rows(answer: dict[str, Any]) -> list[Row]:
    names: list[str] = []
    for column in answer["columns"]:
        name = column["name"]
        names.append(f"{name}:{len(names)}" if name in names else name)  # two may have one name
    return [dict(zip(names, row, strict=True)) for row in answer["rows"]]


def table_of(rows: Sequence[Row]) -> pa.Table:
    """Return rows as columns: every key that occurs, in the order of first sight.

    Objects and lists become JSON text, and so do the values of a key that has values of several
    types: producers choose what stands in unknown keys.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def csv_bytes(rows: Sequence[Row]) -> bytes:
    """Return rows as CSV with a header.

    A text that a spreadsheet would run as a formula gets an apostrophe in front: producers choose
    these texts.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow([_cell(name) for name in names])
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return sink.getvalue().encode(errors="replace")


def _cell(value: object) -> object:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    if isinstance(value, bool | dict | list):
        return orjson.dumps(value).decode()
    return value


def _column(values: list[Any]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) > 1 and not kinds <= {int, float}:
        return _texts(values)
    if kinds & {dict, list}:
        return _texts(values)
    if kinds == {int, float}:
        return pa.array([None if each is None else float(each) for each in values], pa.float64())
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, OverflowError, UnicodeError):  # beyond 64 bits, lone surrogates
        return _texts(values)


def _texts(values: list[Any]) -> pa.Array:
    return pa.array([None if each is None else _json_text(each) for each in values], pa.string())


def _json_text(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # beyond 64 bits, lone surrogates
        return str(value).encode(errors="replace").decode()


def _parquet_bytes(rows: Sequence[Row]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table_of(rows), sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _arrow_bytes(rows: Sequence[Row]) -> bytes:
    table = table_of(rows)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


_WRITERS: dict[str, Callable[[Sequence[Row]], bytes]] = {
    CSV: csv_bytes,
    PARQUET: _parquet_bytes,
    ARROW: _arrow_bytes,
}
