"""Stand-ins that speak real HTTP on 127.0.0.1: a serving layer with known data, a model server.

``ServingDouble`` answers the documented read calls from a ``World``. ``ModelServer`` answers
chat completions as its ``behaviour`` says, well or badly, and keeps the requests it got.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

Json = Any
HOUR_MS = 3_600_000
SECOND_MS = 1000
MAX_LIMIT = 10_000
POLL_SECONDS = 0.02


@dataclass
class World:
    """What a serving double knows; every list newest first."""

    events: list[dict[str, Json]] = field(default_factory=list)
    anomalies: list[dict[str, Json]] = field(default_factory=list)
    alerts: list[dict[str, Json]] = field(default_factory=list)
    users: dict[str, dict[str, Json]] = field(default_factory=dict)
    analyses: dict[str, dict[str, Json]] = field(default_factory=dict)
    missing: int = 0
    double: int = 0
    run_id: str | None = "run-0001"
    complete: bool = True
    batches: list[dict[str, Json]] = field(default_factory=list)
    analysis_rows: dict[str, Json] = field(default_factory=dict)


def event(number: int, user: str, timestamp: int, **fields: Json) -> dict[str, Json]:
    """Return an event as ``/api/events`` gives it."""
    return {
        "event_id": f"evt_{number:012x}",
        "timestamp": timestamp,
        "event_type": "auth_attempt",
        "user": user,
        "source_ip": "10.0.0.5",
        "status": "success",
        "metadata": {"hostname": "ws-01", "geo_location": "US-CA-SF"},
        "anomaly_score": 0.12,
        "is_anomaly": False,
        "topic": "security-events",
        "partition": 0,
        "offset": number,
        "ingested_at": timestamp + 5,
        "source": "realtime",
        **fields,
    }


def anomaly_of(one: dict[str, Json], *reasons: str) -> dict[str, Json]:
    """Return the anomaly record of an event."""
    parts = ("time", "ip", "location", "type", "failure")
    return {
        **{name: one[name] for name in ("event_id", "user", "timestamp", "event_type", "source")},
        "source_ip": one["source_ip"],
        "anomaly_score": one["anomaly_score"],
        **{f"{part}_anomaly": 0.1 for part in parts},
        "ip_anomaly": 0.97,
        "reasons": list(reasons),
    }


def alert_of(name: str, events: list[dict[str, Json]], **fields: Json) -> dict[str, Json]:
    """Return a failed-login alert over events, in the REST API's spelling."""
    times = [one["timestamp"] for one in events]
    return {
        "alert_id": name,
        "user_id": events[0]["user"],
        "alert_type": "SUSPICIOUS_LOGIN_PATTERN",
        "description": f"{len(events)} failed logins within 5 minutes",
        "timestamp": max(times),
        "severity": "HIGH",
        "event_count": len(events),
        "resolved": False,
        "rule_id": "failed-login-burst",
        "rule_version": "1",
        "first_seen": min(times),
        "last_seen": max(times),
        "event_ids": [one["event_id"] for one in events],
        "source_ips": sorted({one["source_ip"] for one in events}),
        "techniques": ["T1110"],
        "suppressed_by": None,
        **fields,
    }


def user_row(user: str, score: float, *, is_anomaly: bool, last_seen: int) -> dict[str, Json]:
    """Return a user's batch verdict."""
    typical = [1.0, 3.0, 9.0]
    reasons = [{"feature": "unique_ips", "value": 45.0, "typical": typical}] if is_anomaly else []
    return {
        "user": user,
        "is_anomaly": is_anomaly,
        "anomaly_score": -score,
        "anomaly_score_normalized": score,
        "total_events": 4321,
        "avg_threat_score": 0.2,
        "unique_ips": 45 if is_anomaly else 3,
        "failed_auth_rate": 0.0625,
        "cluster": 1,
        "first_seen": last_seen - 24 * HOUR_MS,
        "last_seen": last_seen,
        "features": {"unique_ips": 45},
        "reasons": reasons,
        "run_id": "run-0001",
    }


def small_world(now_ms: int, *, age_ms: int = 60_000) -> World:
    """Return three users: manager is under attack, alice is ordinary, bob only in the batch view.

    The newest event is ``age_ms`` old.
    """
    newest = now_ms - age_ms
    failed = [
        event(
            900 + number,
            "manager",
            newest - number * SECOND_MS,
            status="failed",
            source_ip="203.0.113.9",
            anomaly_score=0.91,
            is_anomaly=True,
        )
        for number in range(4)
    ]
    calm = [
        event(number, "alice", newest - (number + 1) * 20 * SECOND_MS, source="batch")
        for number in range(12)
    ]
    rare = event(
        700,
        "manager",
        newest - 600 * SECOND_MS,
        event_type="network_connection",
        source_ip="203.0.113.9",
        anomaly_score=0.97,
        is_anomaly=True,
    )
    events = sorted([*failed, *calm, rare], key=lambda one: (-one["timestamp"], -one["offset"]))
    reasons = ("address 203.0.113.9 never seen for manager", "place RU-MOW is new")
    return World(
        events=events,
        anomalies=[anomaly_of(one, *reasons) for one in events if one["is_anomaly"]],
        alerts=[alert_of("al_00aa11bb22cc", failed)],
        users={
            "manager": user_row("manager", 0.87, is_anomaly=True, last_seen=newest),
            "alice": user_row("alice", 0.11, is_anomaly=False, last_seen=newest),
            "bob": user_row("bob", 0.22, is_anomaly=False, last_seen=newest),
        },
    )


class _Server:
    """An HTTP server on a free port of 127.0.0.1, in a thread, as a context manager."""

    def __init__(self, port: int = 0) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        raise NotImplementedError


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Without it, small answers wait for the acknowledgement of their headers.
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def reply(
        self,
        status: int,
        body: bytes,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> None:
        """Send a whole response."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def read_json(self) -> Json:
        """Return the request's body."""
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))


class ServingDouble(_Server):
    """A serving layer that holds a ``World``.

    ``status`` other than 200 makes every call fail with it; without ``key``, where it is set,
    every call is refused. ``requests`` keeps what was asked, ``request_ids`` for which requests,
    ``headers`` what came with each.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.status = 200
        self.key: str | None = None
        self.requests: list[str] = []
        self.request_ids: set[str | None] = set()
        self.headers: list[dict[str, str]] = []
        super().__init__()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        double = self

        class Handler(_Handler):
            def do_GET(self) -> None:
                double.requests.append(self.path)
                double.request_ids.add(self.headers.get("x-request-id"))
                double.headers.append(dict(self.headers.items()))
                parts = urlsplit(self.path)
                params = {name: values[0] for name, values in parse_qs(parts.query).items()}
                if double.status != 200:
                    self.reply(double.status, b"{}")
                    return
                if double.key and self.headers.get("authorization") != f"Bearer {double.key}":
                    self.reply(401, b"{}")
                    return
                body = double.answer([unquote(one) for one in parts.path.split("/")[1:]], params)
                self.reply(404 if body is None else 200, json.dumps(body or {}).encode())

            def do_POST(self) -> None:
                analysis = self.read_json()
                double.requests.append(f"POST {self.path}")
                double.world.analyses[analysis["id"]] = analysis
                self.reply(201, json.dumps(analysis).encode())

        return Handler

    def answer(self, path: list[str], params: dict[str, str]) -> Json:
        """Return the body for a path, None for 404."""
        world = self.world
        match path:
            case ["api", "events", "count"]:
                rows = _matching(world.events, params)
                shares = {"batch": 0, "realtime": len(rows)}
                return {"count": len(rows), **shares, "complete": world.complete}
            case ["api", "anomalies", "count"]:
                rows = _matching([one for one in world.events if one["is_anomaly"]], params)
                shares = {"batch": 0, "realtime": len(rows)}
                return {"count": len(rows), **shares, "complete": world.complete}
            case ["api", "alerts", "count"]:
                number = len(_matching(world.alerts, params))
                return {"count": number, "batch": 0, "realtime": number, "complete": world.complete}
            case ["api", "users"]:
                return _page(_ranked(world), params)
            case ["api", "events" | "anomalies" | "alerts" as name]:
                page = _page(_matching(getattr(world, name), params), params)
                return {**page, "complete": world.complete} if page else None
            case ["api", "anomalies", "user", user]:
                found = [one for one in world.anomalies if one["user"] == user]
                return _page(_matching(found, params), params)
            case ["api", "events", key]:
                return _found(world.events, "event_id", key)
            case ["api", "anomalies", key]:
                return _found(world.anomalies, "event_id", key)
            case ["api", "alerts", key]:
                return _found(world.alerts, "alert_id", key)
            case ["api", "analyses"]:
                newest = sorted(world.analyses.values(), key=lambda one: -one["created_at"])
                return _page(newest, params)
            case ["api", "audit"]:
                return {"data": []}
            case ["api", "analyses", "count"]:
                return {"count": len(world.analyses)}
            case ["api", "analyses", key]:
                return world.analyses.get(key)
            case ["api", "training-data", "anomalies"]:
                flagged = [one for one in world.users.values() if one["is_anomaly"]]
                return _page(flagged, params) if world.run_id else None
            case ["batch", "list"]:
                return {"total": len(world.batches), "batches": world.batches}
            case ["batch", "data", key, "aggregated"]:
                return {"batchId": key, "data": world.analysis_rows[key]}
            case ["api", "training-data", "anomalies", user]:
                return world.users.get(user) if world.run_id else None
            case _:
                return self._totals("/".join(path))

    def _totals(self, path: str) -> Json:
        world = self.world
        batch = sum(one["source"] == "batch" for one in world.events)
        live = len(world.events) - batch
        match path:
            case "api/stats/summary":
                return {
                    "totalEvents": len(world.events),
                    "highThreatEvents": 0,
                    "averageThreatScore": 0.1,
                    "totalAnalyses": len(world.analyses),
                    "totalAnomalies": len(world.anomalies),
                    "batchEvents": batch,
                    "realtimeEvents": live,
                    "complete": world.complete,
                }
            case "consistency":
                return _account(world, batch, live)
            case "api/training-data/report":
                return _report(world) if world.run_id else None
            case "api/training-data/health" if not world.run_id:
                return None
            case "api/training-data/health" | "api/health/ready":
                return {"status": "ok"}
            case _:
                return None


def _matching(rows: list[dict[str, Json]], params: dict[str, str]) -> list[dict[str, Json]]:
    """Return rows that satisfy every filter, as the serving layer does."""
    kept = rows
    for name in ("event_type", "status", "source_ip", "severity"):
        if name in params:
            kept = [one for one in kept if one.get(name) == params[name]]
    if "user" in params:
        kept = [one for one in kept if params["user"] in {one.get("user"), one.get("user_id")}]
    if "resolved" in params:
        kept = [one for one in kept if str(one["resolved"]).lower() == params["resolved"]]
    if "suppressed" in params:
        wanted = params["suppressed"] == "true"
        kept = [one for one in kept if (one["suppressed_by"] is not None) == wanted]
    start, end = int(params.get("start_time", "0")), int(params.get("end_time", str(10**15)))
    return [one for one in kept if start <= one["timestamp"] < end]


def _page(rows: list[dict[str, Json]], params: dict[str, str]) -> Json:
    first, limit = int(params.get("cursor", "0")), int(params.get("limit", "100"))
    if not 1 <= limit <= MAX_LIMIT:
        return None
    after = first + limit
    return {
        "data": rows[first:after],
        "next_cursor": str(after) if after < len(rows) else None,
        "complete": True,
        "sources": {},
    }


def is_open(alert: dict[str, Json]) -> bool:
    """Say whether an alert waits for somebody."""
    return not alert["resolved"] and alert["suppressed_by"] is None


def _ranked(world: World) -> list[dict[str, Json]]:
    """Return users by what both layers hold, in the shape of ``/api/users``."""
    rows = []
    for name in {*world.users, *(one["user_id"] for one in world.alerts)}:
        batch = world.users.get(name)
        live = [one["anomaly_score"] for one in world.anomalies if one["user"] == name]
        raised = [
            one["severity"] for one in world.alerts if one["user_id"] == name and is_open(one)
        ]
        score = batch["anomaly_score_normalized"] if batch else 0.0
        rows.append(
            {
                "user": name,
                "risk": round(1 - (1 - score * 0.6) * (1 - max(live, default=0.0) * 0.6), 6),
                "batch_score": score,
                "is_anomaly": bool(batch and batch["is_anomaly"]),
                "realtime_score": max(live, default=0.0),
                "open_alerts": {severity: raised.count(severity) for severity in raised},
            }
        )
    return sorted(rows, key=lambda row: (-row["risk"], row["user"]))


def _found(rows: list[dict[str, Json]], name: str, key: str) -> Json:
    return next((one for one in rows if one[name] == key), None)


def _account(world: World, batch: int, live: int) -> Json:
    partition = {
        "topic": "security-events",
        "partition": 0,
        "first_offset": 0,
        "seam": batch,
        "next_offset": batch + live,
        "batch_rows": batch,
        "realtime_rows": live,
        "dead_letters": 0,
        "duplicates": 0,
        "skipped": 0,
        "missing": world.missing,
        "double": world.double,
    }
    return {
        "missing": world.missing,
        "double": world.double,
        "run_id": world.run_id,
        "complete": world.complete,
        "partitions": [partition],
    }


def _report(world: World) -> Json:
    ranked = sorted(world.users.values(), key=lambda one: -one["anomaly_score_normalized"])
    flagged = sum(one["is_anomaly"] for one in ranked)
    return {
        "total_users": len(ranked),
        "anomalous_users": flagged,
        "anomaly_rate": flagged / len(ranked) if ranked else 0.0,
        "top_anomalies": ranked[:10],
    }


Behaviour = Callable[[dict[str, Json]], "str | Fault"]
"""From the request's body to the text of the reply, or to how the reply goes wrong."""


@dataclass(frozen=True)
class Fault:
    """A bad reply.

    ``cut`` closes the connection in the middle of the body; ``hang_seconds`` waits before it.
    """

    status: int = 200
    body: bytes = b"{}"
    content_type: str = "application/json"
    hang_seconds: float = 0.0
    cut: bool = False
    headers: dict[str, str] = field(default_factory=dict)


def completion(text: str | None, **fields: Json) -> bytes:
    """Return a chat completion's body."""
    message = {"role": "assistant", "content": text}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 1200, "completion_tokens": 80, "total_tokens": 1280},
        **fields,
    }
    return json.dumps(body).encode()


def echo_statements(body: dict[str, Json]) -> str:
    """Behave well: give the statements back as they were."""
    prompt: str = body["messages"][-1]["content"]
    start = prompt.index("\n", prompt.index("<<<statements")) + 1
    end = prompt.index(" statements>>>")
    return prompt[start:end].rpartition("\n")[0]


class ModelServer(_Server):
    """An OpenAI-compatible server that follows a script."""

    def __init__(self, behaviour: Behaviour = echo_statements, port: int = 0) -> None:
        self.behaviour = behaviour
        self.requests: list[dict[str, Json]] = []
        self.recorded: list[bytes] = []
        """Every request as it came: line, headers, body."""
        super().__init__(port)

    @property
    def base_url(self) -> str:
        """What to set as ``OPENAI_BASE_URL``."""
        return f"{self.url}/v1"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(_Handler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                head = f"{self.requestline}\r\n{self.headers}"
                server.recorded.append(head.encode() + body)
                request = json.loads(body)
                server.requests.append(request)
                result = server.behaviour(request)
                if isinstance(result, str):
                    self.reply(200, completion(result))
                else:
                    self._fail(result)

            def _fail(self, fault: Fault) -> None:
                if fault.hang_seconds:
                    # The fault is the waiting itself.
                    time.sleep(fault.hang_seconds)
                if not fault.cut:
                    try:
                        self.reply(fault.status, fault.body, fault.content_type, fault.headers)
                    except OSError:
                        # The client gave up while we hung.
                        self.close_connection = True
                    return
                self.send_response(fault.status)
                self.send_header("Content-Type", fault.content_type)
                self.send_header("Content-Length", str(len(fault.body)))
                self.end_headers()
                self.wfile.write(fault.body[: len(fault.body) // 2])
                self.close_connection = True

        return Handler


def main() -> None:
    """``python -m genai_assistant.testing``: run a model server on a port, for shell scripts."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    with ModelServer(port=parser.parse_args().port) as server:
        sys.stdout.write(f"{server.base_url}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
