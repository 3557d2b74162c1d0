"""The daily questions, one line each, asked of the real serving layer."""

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import httpx
import pytest

from serving_layer.testing import LogPartition, alert_record, event_record, wait_until
from streamguard_cli import alerts
from streamguard_cli.__main__ import main
from streamguard_cli.service import Service

TOPIC = "security-events"


@pytest.fixture
def ask(serving, monkeypatch, capsys):
    """Run the command against the serving layer; returns exit code, output, messages."""
    monkeypatch.setenv("STREAMGUARD_URL", serving.url)
    monkeypatch.delenv("STREAMGUARD_API_KEY", raising=False)

    def run(*arguments):
        code = main(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_events_as_a_table_newest_first_and_as_json(ask):
    code, out, _ = ask("events", "--user", "mallory")
    lines = out.splitlines()
    assert (code, len(lines)) == (0, 4)
    assert lines[0].split() == ["TIME", "(UTC)", "USER", "TYPE", "STATUS", "ADDRESS", "SCORE", "LAYER", "EVENT"]  # fmt: skip
    assert [line.split()[-1] for line in lines[1:]] == [f"evt_{n:012x}" for n in (5, 3, 1)]

    body = json.loads(ask("events", "--limit", "2", "--json")[1])
    assert [row["offset"] for row in body["data"]] == [5, 4]


def test_one_event_a_count_and_none(ask):
    assert json.loads(ask("events", "evt_000000000003")[1])["offset"] == 3
    assert ask("events", "--count")[1] == "6 (4 batch, 2 realtime)\n"
    assert ask("events", "--user", "nobody")[2] == "streamguard: no such event\n"


def test_anomalies_with_reasons_and_both_layers_words_on_one(ask):
    code, out, _ = ask("anomalies")
    assert code == 0
    assert out.splitlines()[1].endswith("a rare address")

    out = ask("anomalies", "evt_000000000005")[1]
    assert "- a rare address\n" in out
    assert "realtime: anomalous\n" in out
    assert "batch: offset 5 of security-events/0 lies at or above the seam 4" in out


def test_waiting_alerts_and_a_step_on_one(ask):
    assert "alert-old" in ask("alerts", "--severity", "HIGH")[1]
    assert ask("alerts", "--count", "--severity", "HIGH")[1].endswith(" realtime)\n")

    code, out, _ = ask("alerts", "alert-old", "--do", "acknowledge", "--by", "dana")
    assert code == 0
    assert "acknowledged" in out
    assert "dana  acknowledge" in out
    ask("alerts", "alert-old", "--do", "reopen", "--by", "dana")


def test_users_by_risk_and_why_one_is_risky(ask):
    assert [line.split()[0] for line in ask("users")[1].splitlines()] == [
        "USER",
        "mallory",
        "alice",
    ]

    out = ask("users", "mallory")[1]
    assert "batch says       anomalous, score 0.90, run r2\n" in out
    assert "- unique_ips is 57; of all users 5 %, median, 95 % are 1, 3, 8\n" in out
    assert "realtime  anomaly" in out


def test_runs_one_run_and_the_proof(ask):
    lines = ask("runs")[1].splitlines()
    assert [line.split()[2:5] for line in lines[1:]] == [["r2", "yes", "4"], ["r1", "no", "2"]]
    assert "security-events/0  4     4" in ask("runs", "r2")[1]

    code, out, _ = ask("consistency")
    assert (code, out.splitlines()[-1]) == (0, "missing 0, double 0; batch run r2")


def test_status_says_in_its_exit_code_whether_all_is_well(ask, serving):
    code, out, _ = ask("status")
    assert code == 0
    assert "6 (4 batch, 2 realtime)" in out
    assert json.loads(ask("status", "--json")[1])["health"]["run_id"] == "r2"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["events", "--status", "bad"], "status: "),
        (["alerts", "--severity", "urgent"], "severity: "),
        (["events", "--since", "yesterday"], "--since yesterday: "),
        (["events", "--since", "2026-99-99"], "start_time: "),
        (["events", "--count", "--threats", "0.9"], "--threats: goes not together with --count"),
        (["alerts", "--do", "resolve"], "--do resolve: needs the ALERT"),
        (["alerts", "alert-old", "--do", "comment"], "a comment must say something"),
        (["users", "nobody"], "neither layer knows a user 'nobody'"),
        (["runs", "nothing"], "the lake keeps no run 'nothing'"),
        (["events", "--url", "http://127.0.0.1:1"], "http://127.0.0.1:1/api/events: "),
    ],
)
def test_a_refusal_names_what_is_wrong(ask, arguments, said):
    code, out, err = ask(*arguments)

    assert code in (1, 2)
    assert out == ""
    assert err.startswith("streamguard: ")
    assert said in err
    assert err.count("\n") == 1


def test_what_an_attacker_writes_cannot_reach_the_terminal(ask, serving):
    part = serving.speed.partition(TOPIC, 0)
    offset = part.next_offset
    part.append([event_record(offset, user="eve\x1b[2J\nroot", event_type="auth_attempt")])
    count = ["events", "--count", "--user", "eve\x1b[2J\nroot"]
    wait_until(lambda: ask(*count)[1].startswith("1 "), "the event")

    out = ask("events", "--limit", "1")[1]
    assert "\x1b" not in out
    assert "eve\\x1b[2J root" in out


def test_following_shows_the_newest_then_each_new_one(serving):
    part = serving.speed.partition(TOPIC, 0)
    found = alerts.live(Service(serving.url), {"user": "frank"}, 10)
    first = threading.Timer(0.3, lambda: raised(part, "alert-frank-1"))
    first.start()

    assert next(found)["alert_id"] == "alert-frank-1"
    raised(part, "alert-frank-2")
    assert next(found)["alert_id"] == "alert-frank-2"
    found.close()


@dataclass(frozen=True)
class CutOff(Service):
    """Loses its first stream before the first alert; then `names` are raised."""

    part: LogPartition
    names: list[str]

    @contextmanager
    def stream(self, path, headers, timeout, **params):
        with super().stream(path, headers, timeout, **params) as response:
            if "Last-Event-ID" not in headers:
                response.iter_lines = partial(self.cut, response.iter_lines(), params)
            yield response

    def cut(self, lines, params):
        yield from (next(lines), next(lines))
        for name in self.names:
            raised(self.part, name, params["user"])
        wait_until(
            lambda: self.get("/api/alerts/count", **params)["count"] == len(self.names),
            "the alerts",
        )
        raise httpx.ReadError("cut off")


def test_following_loses_nothing_where_the_stream_breaks_before_the_first_alert(serving):
    names = [f"alert-grace-{n}" for n in range(3)]
    service = CutOff(serving.url, serving.speed.partition(TOPIC, 0), names)
    found = alerts.live(service, {"user": "grace"}, 1)  # the list would show one, not three

    assert [next(found)["alert_id"] for _ in names] == names
    found.close()


def raised(part, alert_id, user="frank"):
    offset = part.next_offset
    part.alerts.append(alert_record(TOPIC, 0, offset, alert_id=alert_id, user_id=user))
    part.append([event_record(offset, user=user)])


def test_completion_in_bash_offers_verbs_and_their_flags(capsys, tmp_path):
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out + (
        '\ncomplete_at() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _streamguard; '
        'echo "${COMPREPLY[@]}"; }\n'
        "complete_at streamguard con\ncomplete_at streamguard alerts --fol\n"
        "complete_at streamguard rules te\n"
    )
    out = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout

    assert out.splitlines() == ["consistency", "--follow", "test"]
    for shell in ("zsh", "fish"):
        assert main(["completion", shell]) == 0
        assert "alerts" in capsys.readouterr().out


def test_a_reader_that_leaves_is_no_error(serving):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "streamguard_cli", "events", "--url", serving.url],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)

    assert done.returncode == 1
    assert done.stderr == ""
