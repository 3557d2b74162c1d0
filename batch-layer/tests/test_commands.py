"""The command line, as processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from batch_layer.arguments import parse_arguments
from batch_layer.commands import run
from contracts.topics import SECURITY_EVENTS

START_SECONDS = 240


def environment(settings, servers: str) -> dict[str, str]:
    return dict(os.environ) | {
        "BATCH_KAFKA_BOOTSTRAP_SERVERS": servers,
        "BATCH_LAKE_DIR": str(settings.lake_dir),
        "BATCH_DATA_DIR": str(settings.data_dir),
        "BATCH_JARS_DIR": str(settings.jars_dir),
        "BATCH_ARCHIVE_DIR": str(settings.archive_dir),
        "BATCH_SCHEDULE_MINUTES": "0",
    }


@pytest.mark.parametrize(
    "words",
    [
        ["security-run", "--algorithm", "dbscan"],
        ["security-run", "--max-events", "0"],
        ["security-run", "--contamination", "0.9"],
        ["security-run", "--max-events", "5", "--full"],
        ["table", "optimize"],
        ["table", "list", "stream/transactions"],
        ["table", "zorder", "stream/transactions"],
        ["table", "vacuum", "stream/transactions", "--columns", "city"],
        ["unknown"],
    ],
)
def test_a_bad_command_line_is_refused(words, capsys):
    with pytest.raises(SystemExit) as refused:
        parse_arguments(words)

    assert refused.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_the_schedule_is_shown(settings, monkeypatch, capsys):
    monkeypatch.setenv("BATCH_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("BATCH_SCHEDULE_CRON", "30 2 * * *")
    monkeypatch.setenv("BATCH_MAINTENANCE_MINUTES", "0")

    assert run(parse_arguments(["schedule"])) == 0
    (job,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (job["job"], job["when"], job["lastRun"]) == ("security-run", "cron 30 2 * * *", None)
    assert job["nextTime"].endswith("T02:30:00Z")


@pytest.mark.integration
def test_a_topic_that_does_not_exist_is_named(settings, broker, monkeypatch, capsys):
    for name, value in environment(settings, broker.bootstrap_servers).items():
        monkeypatch.setenv(name, value)

    assert run(parse_arguments(["ingest", "no-such-topic"])) == 1
    assert "error: topics: no-such-topic: no such topic at" in capsys.readouterr().err


@pytest.mark.integration
def test_a_bounded_run_as_a_process(settings, topics, event, tmp_path):
    topics.create(SECURITY_EVENTS, 2)
    topics.produce(SECURITY_EVENTS, [event(n, f"user{n % 20}") for n in range(300)])
    command = [sys.executable, "-m", "batch_layer", "security-run", "--max-events", "200"]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "out")],
        env=environment(settings, topics.bootstrap_servers),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "200 events" in done.stdout
    report = json.loads((tmp_path / "out/anomaly_report.json").read_text())
    assert report["total_users"] == 20
    assert report["anomalous_users"] == 2  # --contamination .1 is the command's default
    assert (tmp_path / "out/_SUCCESS").exists()
    assert list(settings.archive_dir.glob("spark-*.jsa")), "the next start should be faster"


@pytest.mark.integration
def test_the_service_stops_cleanly_on_sigterm(settings):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    archives = settings.jars_dir.parents[1] / "cds"  # of earlier runs: starts faster
    env = environment(settings, "127.0.0.1:9") | {
        "BATCH_PORT": str(port),
        "BATCH_ARCHIVE_DIR": str(archives),
    }
    process = subprocess.Popen([sys.executable, "-m", "batch_layer", "serve"], env=env)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not is_healthy(port):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)  # polled with a deadline
        process.send_signal(signal.SIGTERM)
        assert process.wait(90) == 0
    finally:
        process.kill()
        process.wait()


def is_healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
