import json
import subprocess
import sys
from pathlib import Path

import pytest

from event_generator.__main__ import main

START = "2026-03-02T08:00:00Z"
FIXED = ["--seed", "5", "--start-time", START, "--rate", "0"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "event_generator", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": "", **environment},
        check=False,
    )


def generate(tmp_path: Path, name: str, *arguments: str) -> bytes:
    path = tmp_path / name
    assert main([*arguments, "--output", str(path)]) == 0
    return path.read_bytes()


@pytest.mark.parametrize("command", ["security", "transactions"])
def test_the_same_seed_and_arguments_give_the_same_bytes(tmp_path, command):
    first = generate(tmp_path, "first", command, "--count", "7001", *FIXED)
    second = generate(tmp_path, "second", command, "--count", "7001", *FIXED)

    assert first == second
    assert first.count(b"\n") == 7001


def test_a_longer_run_continues_a_shorter_one(tmp_path):
    short = generate(tmp_path, "short", "security", "--count", "100", *FIXED)
    long = generate(tmp_path, "long", "security", "--count", "200", *FIXED)

    assert long.startswith(short)


def test_the_rate_does_not_change_what_is_drawn(tmp_path):
    start = ["--seed", "5", "--start-time", START, "--count", "300", "--clock-span", "600"]
    fast = generate(tmp_path, "fast", "security", "--rate", "0", *start)
    slow = generate(tmp_path, "slow", "security", "--rate", "1000", *start)

    assert fast == slow


def test_labels_name_exactly_the_events_that_were_written(tmp_path):
    labels = tmp_path / "labels.ndjson"
    lines = generate(
        tmp_path, "events", "security", "--count", "149", "--labels", str(labels), *FIXED
    ).splitlines()

    labelled = [json.loads(line)["event_id"] for line in labels.read_text().splitlines()]
    assert labelled == [json.loads(lines[number])["event_id"] for number in (49, 99)]


def test_the_clock_span_is_the_event_time_covered(tmp_path):
    lines = generate(
        tmp_path, "events", "security", "--count", "100", "--clock-span", "86400", *FIXED
    ).splitlines()
    times = [json.loads(line)["timestamp"] for line in lines]

    assert times[-1] - times[0] == 86_400_000 * 99 // 100


def test_a_clock_span_without_start_time_ends_now(tmp_path, monkeypatch):
    monkeypatch.setattr("time.time_ns", lambda: 1_750_000_000_000 * 1_000_000)
    lines = generate(
        tmp_path, "events", "security", "--count", "2", "--rate", "0", "--clock-span", "100"
    ).splitlines()

    assert [json.loads(line)["timestamp"] for line in lines] == [
        1_749_999_900_000,
        1_749_999_950_000,
    ]


def test_a_duration_at_a_rate_gives_so_many_events(tmp_path):
    events = generate(
        tmp_path, "events", "security", "--rate", "200", "--duration", "1", "--seed", "1"
    )

    assert events.count(b"\n") == 200


def test_a_duration_ends_an_unpaced_run():
    assert main(["security", "--rate", "0", "--duration", "0.2", "--output", "/dev/null"]) == 0


def test_standard_output_holds_events_only():
    finished = run("security", "--count", "3", "--rate", "0", "--output", "-")

    assert finished.returncode == 0
    assert len([json.loads(line) for line in finished.stdout.splitlines()]) == 3
    assert "3 acknowledged, 0 failed" in finished.stderr


def test_a_reader_that_goes_away_is_no_crash():
    finished = subprocess.run(
        [
            "/bin/sh",
            "-c",
            f"{sys.executable} -m event_generator security --rate 0 --output - | head -1",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert finished.stdout.count("\n") == 1
    assert "Traceback" not in finished.stderr


def test_the_transaction_generator_reads_its_environment():
    finished = run(
        *("transactions", "--count", "50", "--output", "-"),
        **{"EVENTS_PER_SECOND": "0", "FRAUD_RATE": "1", "NUM_CUSTOMERS": "2"},
    )
    rows = [json.loads(line) for line in finished.stdout.splitlines()]

    assert all(row["is_fraudulent"] for row in rows)
    assert {row["customer_id"] for row in rows} == {"CUST-000001", "CUST-000002"}


def test_the_seeder_prints_its_totals(tmp_path):
    finished = run(
        *("seed", "--seed", "1"),
        TOTAL_RECORDS="100",
        DATE_RANGE_DAYS="3",
        DELTA_OUTPUT_PATH=str(tmp_path / "table"),
        SPARK_MASTER="local[2]",
    )

    assert finished.returncode == 0
    assert "records              100" in finished.stdout
    assert "SPARK_MASTER=local[2] has no effect" in finished.stderr


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--rate", "-1"], "--rate: -1 is negative"),
        (["--rate", "fast"], "--rate: 'fast' is not a number"),
        (["--rate", "nan"], "--rate: nan is not a finite number"),
        (["--duration", "0"], "--duration: 0 is not a positive number"),
        (["--count", "0"], "--count: 0 is less than 1"),
        (["--count", "1.5"], "--count: '1.5' is not an integer"),
        (["--users", "0"], "--users: 0 is less than 1"),
        (["--users", "1000001"], "--users: 1000001 is more than 1,000,000"),
        (["--seed", "-4"], "--seed: -4 is negative"),
        (["--anomaly-rate", "2"], "--anomaly-rate: 2 is not between 0 and 1"),
        (["--start-time", "soon"], "--start-time: 'soon' is neither Unix ms nor ISO-8601"),
        (["--start-time", "1999-01-01"], "--start-time: 1999-01-01 is outside"),
        (["--clock-span", "0", "--count", "1"], "--clock-span: 0 is not a positive number"),
    ],
)
def test_a_bad_flag_is_named(capsys, flags, complaint):
    with pytest.raises(SystemExit) as exit_info:
        main(["security", "--output", "-", *flags])

    assert exit_info.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--clock-span", "60"], "--clock-span needs --count"),
        (["--labels", "same", "--output", "same"], "--labels and --output"),
        (["--start-time", "2033-05-18", "--count", "2", "--clock-span", "1e6"], "--start-time"),
    ],
)
def test_flags_that_contradict_each_other_are_named(
    capsys, flags, complaint, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)

    assert main(["security", "--output", "events", *flags]) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--labels", "--output"])
def test_a_file_that_cannot_be_written_is_named(capsys, tmp_path, flag):
    missing = str(tmp_path / "missing" / "file")
    flags = {"--output": str(tmp_path / "events"), flag: missing}

    assert (
        main(["security", "--count", "1", *(part for pair in flags.items() for part in pair)]) == 1
    )
    assert f"{flag} {missing}: No such file or directory" in capsys.readouterr().err


def test_a_full_disk_is_reported(capsys):
    assert main(["security", "--count", "20000", "--rate", "0", "--output", "/dev/full"]) == 1
    assert "--output /dev/full: No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "variable", "value"),
    [
        ("transactions", "EVENTS_PER_SECOND", "-1"),
        ("transactions", "EVENTS_PER_SECOND", "nan"),
        ("transactions", "FRAUD_RATE", "1.5"),
        ("transactions", "NUM_PRODUCTS", "9"),
        ("transactions", "NUM_CUSTOMERS", "many"),
        ("transactions", "NUM_STORES", "0"),
        ("seed", "TOTAL_RECORDS", "0"),
        ("seed", "DATE_RANGE_DAYS", "-3"),
        ("seed", "SEED_KAFKA", "perhaps"),
    ],
)
def test_a_bad_variable_is_named(capsys, monkeypatch, command, variable, value):
    monkeypatch.setenv(variable, value)

    assert main([command]) == 2
    complaint = capsys.readouterr().err
    assert variable in complaint
    assert value in complaint


def test_help_names_every_flag(capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(["security", "--help"])

    text = capsys.readouterr().out
    assert exit_info.value.code == 0
    for flag in ("--rate", "--broker", "--topic", "--duration", "--count", "--seed", "--users"):
        assert flag in text
    for flag in ("--start-time", "--labels", "--anomaly-rate", "--output", "--clock-span"):
        assert flag in text
