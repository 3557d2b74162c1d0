"""What happens by the clock, and runs that are cancelled, repeated, submitted twice."""

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY

from batch_layer.app import create_app
from batch_layer.errors import (
    BatchLayerError,
    InvalidRequestError,
    RunAlreadyRunningError,
    SettingsError,
)
from batch_layer.schedule.jobs import INGESTION, MAINTENANCE, SECURITY_RUN, timings
from batch_layer.schedule.log import FILE, JobRun, ScheduleLog, read_log
from batch_layer.schedule.scheduler import Schedule
from batch_layer.security import service as service_module
from batch_layer.security.detect import PartitionPlan
from batch_layer.security.job import free_cores, waves
from batch_layer.security.run import RunOptions
from batch_layer.security.service import SecurityRuns
from contracts.topics import SECURITY_EVENTS

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday
OFTEN = 1 / 60
"""Minutes: every second, the shortest interval."""


def until(what: str, probe, seconds: float = 30):
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, f"{what}: never"
        time.sleep(0.02)  # polled with a deadline
    return found


@pytest.fixture
def schedule(settings):
    """Makes schedules of works and settings; stops them at the end."""
    made = []

    def make(works, **changes) -> Schedule:
        made.append(Schedule(settings.model_copy(update=changes), works))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.mark.parametrize(
    ("changes", "last", "due", "is_late"),
    [
        ({"schedule_minutes": 15}, None, timedelta(minutes=15), False),
        ({"schedule_minutes": 15}, timedelta(minutes=5), timedelta(minutes=10), False),
        ({"schedule_minutes": 15}, timedelta(hours=50), timedelta(0), True),
        ({"schedule_cron": "30 2 * * *"}, None, timedelta(hours=14.5), False),
        ({"schedule_cron": "30 2 * * *"}, timedelta(hours=9.5), timedelta(hours=14.5), False),
        ({"schedule_cron": "30 2 * * mon"}, timedelta(days=7), timedelta(0), True),
    ],
    ids=["first", "cadence kept", "missed", "cron", "cron kept", "cron missed"],
)
def test_a_time_missed_while_the_service_was_down_is_made_up_for_once(
    settings, changes, last, due, is_late
):
    (timing,) = timings(settings.model_copy(update=changes))

    assert timing.due(None if last is None else NOON - last, NOON) == (NOON + due, is_late)


def test_a_bad_cron_expression_names_its_variable(settings):
    with pytest.raises(SettingsError, match=r"BATCH_INGEST_CRON: 'at noon' is no cron"):
        timings(settings.model_copy(update={"ingest_cron": "at noon"}))


def test_a_job_never_runs_twice_at_once_and_its_state_is_told(schedule, settings):
    at_once, most, done = 0, 0, threading.Event()

    def work() -> str:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        done.wait(1.5)  # longer than an interval
        at_once -= 1
        return "worked"

    found = schedule({INGESTION: work}, ingest_minutes=OFTEN)
    until("a start", lambda: found.jobs()[0].last_run)
    assert found.jobs()[0].last_run.status == "RUNNING"
    assert found.jobs()[0].when == "every 0.0166667 minutes"
    until("an end", lambda: read_log(settings.data_dir)[INGESTION].message == "worked")
    done.set()
    until("a second end", lambda: REGISTRY.get_sample_value(
        "batch_job_runs_total", {"job": INGESTION, "status": "COMPLETED"}) >= 2)  # fmt: skip
    assert most == 1


def test_a_job_that_fails_says_why_and_is_tried_again_before_its_time(schedule, settings):
    calls = []

    def work() -> str:
        calls.append(time.monotonic())
        if len(calls) < 3:
            raise BatchLayerError("the broker is away")
        return "worked"

    # Its regular times are 3 s apart; the first was missed.
    before = JobRun(status="COMPLETED", start_time=datetime.now(UTC) - timedelta(seconds=30))
    ScheduleLog(settings.data_dir).put(SECURITY_RUN, before)
    found = schedule({SECURITY_RUN: work}, schedule_minutes=0.05, retry_minutes=0.01)
    until("a failure", lambda: (run := found.jobs()[0].last_run) and run.status == "FAILED")
    failed = found.jobs()[0].last_run
    assert (failed.message, failed.failures) == ("the broker is away", 1)
    until("success", lambda: found.jobs()[0].last_run.status == "COMPLETED")
    assert found.jobs()[0].last_run.failures == 0
    assert calls[1] - calls[0] < 2.5


def test_a_run_of_its_kind_going_on_is_no_failure(schedule):
    def work() -> str:
        raise RunAlreadyRunningError("a security run is going on")

    found = schedule({SECURITY_RUN: work}, schedule_minutes=OFTEN)
    until("a skip", lambda: (run := found.jobs()[0].last_run) and run.status == "SKIPPED")
    assert found.jobs()[0].last_run.failures == 0


def test_a_job_cut_off_by_a_crash_is_known_and_runs_at_the_next_start(schedule, settings):
    long_ago = datetime.now(UTC) - timedelta(days=2)
    ScheduleLog(settings.data_dir).put(MAINTENANCE, JobRun(status="RUNNING", start_time=long_ago))
    ran = threading.Event()

    def work() -> str:
        ran.set()
        return ""

    schedule({MAINTENANCE: work}, maintenance_minutes=1440)

    assert ran.wait(30)


def test_a_damaged_log_of_the_schedule_is_a_warning(settings, caplog):
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    (settings.data_dir / FILE).write_text("{")

    assert read_log(settings.data_dir) == {}
    assert "missed times are not made up for" in caplog.text


def test_beside_a_stream_detection_leaves_a_core_free():
    sizes = (5, 0, 9, 7)
    plans = [PartitionPlan(SECURITY_EVENTS, p, 0, size, None) for p, size in enumerate(sizes)]

    assert [[part.partition for part in wave] for wave in waves(plans, 1)] == [[2], [3], [0]]
    assert [[part.partition for part in wave] for wave in waves(plans, 2)] == [[2, 3], [0]]
    assert [len(wave) for wave in waves(plans, None)] == [3]


@pytest.mark.integration
def test_cores_are_counted_only_beside_a_stream(spark, tmp_path):
    assert free_cores(spark) is None
    rows = spark.readStream.format("rate").load()
    query = rows.writeStream.format("noop").option("checkpointLocation", str(tmp_path)).start()
    try:
        assert free_cores(spark) == 1  # of 2
    finally:
        query.stop()


@pytest.fixture
def away(settings):
    """Settings of a broker that is away: a run fails after two seconds."""
    return settings.model_copy(
        update={
            "kafka_bootstrap_servers": "127.0.0.1:9",
            "kafka_timeout": timedelta(seconds=2),
        }
    )


def two_files(path: Path) -> list[Path]:
    """Write a table of two small files, which OPTIMIZE makes one; return them."""
    rows = pa.table({"customer_id": ["c"], "event_date": [NOON.date()]})
    for _ in range(2):
        write_deltalake(path, rows, mode="append", partition_by=["event_date"])
    return sorted(path.rglob("*.parquet"))


@pytest.mark.integration
def test_every_table_is_cared_for_and_one_that_fails_fails_the_job_by_name(settings, lend):
    damaged, whole = (settings.lake_dir / f"{of}/transactions" for of in ("seed", "stream"))
    for file in two_files(damaged):
        file.write_bytes(b"damaged")
    two_files(whole)
    now = datetime.now(UTC)
    log = ScheduleLog(settings.data_dir)
    log.put(MAINTENANCE, JobRun(status="COMPLETED", start_time=now - timedelta(days=2)))
    log.put(SECURITY_RUN, JobRun(status="COMPLETED", start_time=now, message="12 events"))
    # Maintenance was missed while the service was down; the security run is due next March.
    settings = settings.model_copy(
        update={"maintenance_minutes": 1440, "schedule_cron": "30 2 2 3 *"}
    )
    failed_before = failures()

    with TestClient(create_app(settings, lend)) as client:

        def failed():
            answer = client.get("/schedule")
            if answer.status_code != 200:
                return None
            found = {job["job"]: job for job in answer.json()["jobs"]}
            return found if found[MAINTENANCE]["lastRun"]["status"] == "FAILED" else None

        jobs = until("a failure", failed, 300)
        history = client.get("/tables/stream/transactions/history").json()["history"]
        rows = client.get("/tables/stream/transactions/data").json()["rowCount"]

    maintenance, run = jobs[MAINTENANCE], jobs[SECURITY_RUN]
    message = maintenance["lastRun"]["message"]
    assert message.startswith("1 of 2 tables were not maintained: seed/transactions: ")
    assert ".parquet" in message
    assert "OPTIMIZE" in {version["operation"] for version in history}
    assert rows == 2
    assert failures() == failed_before + 1
    # Tried again in 5 minutes, not in a day.
    ended, due = (
        datetime.fromisoformat(text)
        for text in (maintenance["lastRun"]["endTime"], maintenance["nextTime"])
    )
    assert abs(due - ended - timedelta(minutes=5)) < timedelta(minutes=1)
    assert (run["when"], run["nextTime"][4:]) == ("cron 30 2 2 3 *", "-03-02T02:30:00Z")
    assert (run["lastRun"]["status"], run["lastRun"]["message"]) == ("COMPLETED", "12 events")


def failures() -> float:
    labels = {"job": MAINTENANCE, "status": "FAILED"}
    return REGISTRY.get_sample_value("batch_job_runs_total", labels) or 0


@pytest.mark.integration
def test_the_same_submission_by_the_same_key_is_one_run_and_a_failed_one_is_retried(away, lend):
    with TestClient(create_app(away, lend)) as client:
        until("the session", lambda: client.get("/health").status_code == 200)
        key = {"Idempotency-Key": "nightly 2026-03-02"}
        body = {"algorithm": "kmeans"}
        first = client.post("/security/run", json=body, headers=key)
        again = client.post("/security/run", json=body, headers=key)
        assert (first.status_code, again.json()["runId"]) == (202, first.json()["runId"])
        other = client.post("/security/run", json={"full": True}, headers=key)
        assert (other.status_code, other.json()["error"]) == (400, "INVALID_REQUEST")
        assert other.json()["message"].startswith("Idempotency-Key: 'nightly 2026-03-02' was used")

        url = f"/security/runs/{first.json()['runId']}"
        until("a failure", lambda: client.get(url).json()["status"] == "FAILED")
        retry = client.post(f"{url}/retry")
        assert retry.status_code == 202
        repeated = client.get(f"/security/runs/{retry.json()['runId']}").json()
        assert repeated["retryOf"] == first.json()["runId"]
        assert repeated["parameters"]["algorithm"] == "kmeans"
        url = f"/security/runs/{repeated['runId']}"
        client.post(f"{url}/cancel")
        until("the end", lambda: client.get(url).json()["endTime"])
        ended = client.get(url).json()
        assert (ended["status"], ended["errorMessage"]) == ("CANCELLED", "cancelled")
        assert client.post("/security/runs/run-0/retry").status_code == 404
        assert client.get("/security/runs").json()["total"] == 2


@pytest.mark.integration
def test_a_cancelled_run_ends_in_the_middle_of_its_spark_job(spark, settings, monkeypatch):
    started = threading.Event()

    def endless(session, *_):
        started.set()
        session.range(10**14).selectExpr("sum(id % 7)").collect()

    monkeypatch.setattr(service_module, "published_run", endless)
    runs = SecurityRuns(spark, settings)
    record = runs.submit(RunOptions())
    assert started.wait(30)
    until("a Spark job", lambda: spark.sparkContext.statusTracker().getActiveJobsIds())
    runs.cancel(record.run_id)
    until("the end", lambda: runs.get(record.run_id).status == "CANCELLED")
    assert runs.cancel(record.run_id).status == "CANCELLED"
    runs.stop(1)


@pytest.mark.integration
def test_a_scheduled_run_that_fails_tells_the_schedule_why(spark, away):
    at_once = away.model_copy(update={"kafka_timeout": timedelta(seconds=0.2)})
    runs = SecurityRuns(spark, at_once)

    with pytest.raises(BatchLayerError, match=r"^run-.*: the broker at 127\.0\.0\.1:9 did not"):
        runs.run_to_end(RunOptions())
    runs.stop(1)


def test_only_a_run_that_failed_is_retried(settings):
    runs = SecurityRuns(None, settings)
    done = service_module.RunRecord(run_id="run-1", status="COMPLETED", submit_time="")
    runs._registry.add(done, None)

    with pytest.raises(InvalidRequestError, match="run-1 is COMPLETED"):
        runs.retry("run-1")
    runs.stop(0)
