"""Which statements are let through: one SELECT over the tables, with harmless table functions.

DuckDB's own locks stand behind this check (see ``worker``). The check is on DuckDB's parse tree, so
it sees what will run, and it allows what it knows instead of forbidding what it knows.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

TABLES = ("events", "alerts", "users")

MAX_LENGTH = 20_000
_MAX_DEPTH = 200
_TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest"})
_FORBIDDEN_FUNCTIONS = frozenset(
    {"getenv", "current_setting", "getvariable", "write_log", "nextval", "currval"}
)
_PARSE = "SELECT json_serialize_sql(?::VARCHAR, skip_null := true, skip_empty := true)"


class StatementError(Exception):
    """The statement is not let through."""


def check(connection: "duckdb.DuckDBPyConnection", query: str) -> None:
    """Refuse everything but one SELECT over ``TABLES``.

    Raises:
        StatementError: Saying what is not allowed.
    """
    [(text,)] = connection.execute(_PARSE, [query]).fetchall()
    try:
        tree = json.loads(text)
    except RecursionError:
        raise StatementError("the statement is nested too deeply") from None
    if tree["error"]:
        message = tree.get("error_message", "it cannot be parsed")
        if tree.get("error_type") == "not implemented":
            message = "only SELECT is allowed"
        raise StatementError(message)
    if len(tree["statements"]) != 1:
        raise StatementError("one statement at a time")
    nodes = list(_nodes(tree["statements"], 0))
    known = {*TABLES, *(name for node in nodes for name in _defined(node))}
    for node in nodes:
        _check_node(node, known)


def _check_node(node: dict[str, Any], known: set[str]) -> None:
    match node.get("type"):
        case "BASE_TABLE":
            path = node["qualified_name"]["path"]
            if len(path) != 1 or path[0].lower() not in known:
                name = ".".join(path)
                raise StatementError(f"there is no table {name!r}; known: {', '.join(TABLES)}")
        case "TABLE_FUNCTION":
            name = _name(node["function"])
            if name not in _TABLE_FUNCTIONS:
                raise StatementError(f"the table function {name!r} is not allowed")
        case "SHOW_REF":
            raise StatementError("only SELECT is allowed; GET /api/sql describes the tables")
        case "FUNCTION" if _name(node) in _FORBIDDEN_FUNCTIONS:
            raise StatementError(f"the function {_name(node)!r} is not allowed")


def _name(function: dict[str, Any]) -> str:
    return str(function["function_name"]).lower()


def _defined(node: dict[str, Any]) -> Iterator[str]:
    """Yield the names that a node's WITH gives to queries."""
    for each in (node.get("cte_map") or {}).get("map", []):
        yield str(each["key"]).lower()


def _nodes(value: object, depth: int) -> Iterator[dict[str, Any]]:
    """Yield every object of a parse tree."""
    if depth > _MAX_DEPTH:
        raise StatementError("the statement is nested too deeply")
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from _nodes(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            yield from _nodes(each, depth + 1)
