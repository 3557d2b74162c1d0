"""Published runs: real broker, real Spark."""

import errno
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch_layer.errors import BatchLayerError, RunAlreadyRunningError, VerificationError
from batch_layer.security.bounded import BoundedOptions, bounded_run
from batch_layer.security.files import locked
from batch_layer.security.publish import sweep
from batch_layer.security.run import RunOptions, new_run_id, published_run
from batch_layer.security.views import current_manifest
from contracts import lake as lay_out
from contracts.decoder import decode
from contracts.topics import SECURITY_EVENTS, USER_EVENTS
from contracts.views import COMPONENTS, Manifest
from detection import Engine, user_features

pytestmark = pytest.mark.integration

USERS = ("alice", "bob", "carol", "dave", "erin")


def activity(number: int) -> bytes:
    event = {
        "userId": USERS[number % 5],
        "eventType": "USER_LOGIN_FAILED" if number % 9 == 0 else "USER_LOGIN",
        "timestamp": f"2025-10-09T{number % 24:02}:{number % 60:02}:00",
        "ipAddress": "10.1.0.1",
    }
    return json.dumps(event).encode()


def rows_of(lake, manifest: Manifest, kind: str) -> pa.Table:
    files = getattr(manifest, f"{kind}_files")
    tables = [pq.ParquetFile(lake / "security" / file.path).read() for file in files]
    return pa.concat_tables(tables)


def sorted_rows(table: pa.Table) -> list[dict]:
    return table.sort_by([(name, "ascending") for name in table.column_names[:3]]).to_pylist()


@pytest.fixture
def run(spark, settings, topics):
    settings = settings.model_copy(update={"kafka_bootstrap_servers": topics.bootstrap_servers})

    def run(lake=None, **options):
        chosen = settings if lake is None else settings.model_copy(update={"lake_dir": lake})
        return published_run(spark, chosen, new_run_id(), RunOptions(**options))

    run.lake = settings.lake_dir
    return run


def test_runs_in_pieces_equal_one_full_run_and_a_direct_engine(run, topics, event, tmp_path):
    topics.create(SECURITY_EVENTS, 2)
    topics.create(USER_EVENTS, 1)
    parts = {
        partition: [
            event(number, USERS[(number + partition) % 5], marker=partition)
            for number in range(partition, 1800, 2)
        ]
        for partition in (0, 1)
    }
    # A burst of failed logins raises an alert; a later run must not raise it again.
    for number in range(400, 410):
        parts[0][number] = event(
            number * 2,
            "bob",
            status="failed",
            event_type="auth_attempt",
            timestamp=1_760_010_000_000 + number * 100,
        )
    # Bad input among the good: not JSON, a wrong type, a tombstone, a repeated id, 5 MB, times.
    parts[0][100:100] = [b"\xff\xfe not json", b'{"event_id": 1}', None, parts[0][3]]
    parts[1][50:50] = [b"x" * 5_000_000, event(99_999, "bob", geo="kept", status=None)]
    parts[1][60:60] = [event(1, "eve", timestamp=time) for time in (999, 2_000_000_000_001)]
    # Unusual but good: the first and the last time there may be, nobody as user.
    times = (1_600_000_000_000, 2_000_000_000_000)
    parts[1][70:70] = [event(99_990 + n, "bob", timestamp=time) for n, time in enumerate(times)]
    parts[1][80:80] = [event(99_980, "nobody").replace(b'"nobody"', b"null")]
    logins = [activity(number) for number in range(300)]

    for cut in range(3):
        for partition, values in parts.items():
            third = len(values) // 3
            end = len(values) if cut == 2 else (cut + 1) * third
            topics.produce(SECURITY_EVENTS, values[cut * third : end], partition)
        topics.produce(USER_EVENTS, logins[cut * 100 : cut * 100 + 100])
        outcome = run()
        assert outcome.manifest is not None
        assert not outcome.manifest.full or cut == 0

    incremental = outcome.manifest
    assert lay_out.read_current(run.lake) == incremental.run_id
    seams = {(seam.topic, seam.partition): seam for seam in incremental.seam}
    assert seams[SECURITY_EVENTS, 0].dead_letters == 3
    assert seams[SECURITY_EVENTS, 0].duplicates == 1
    assert seams[SECURITY_EVENTS, 1].dead_letters == 3
    assert seams[USER_EVENTS, 0].rows == 300
    for seam in incremental.seam:
        kinds = seam.rows + seam.dead_letters + seam.duplicates + seam.skipped
        assert kinds == seam.next_offset - seam.first_offset
    assert seams[SECURITY_EVENTS, 0].next_offset == len(parts[0])

    runs = sorted((run.lake / lay_out.RUNS).iterdir())
    again = run()
    assert again.manifest is None
    assert "no new records" in again.message
    assert lay_out.read_current(run.lake) == incremental.run_id
    assert sorted((run.lake / lay_out.RUNS).iterdir()) == runs

    full = run(full=True).manifest
    assert full.full
    assert len(full.event_files) == 3
    for kind in ("event", "alert", "user"):
        assert sorted_rows(rows_of(run.lake, full, kind)) == sorted_rows(
            rows_of(run.lake, incremental, kind)
        )
    assert sum(file.rows for file in full.alert_files) > 0
    states = {file.path.split("/")[-1]: file.path for file in full.state_files}
    for file in incremental.state_files:
        other = states[file.path.split("/")[-1]]
        root = run.lake / "security"
        assert (root / file.path).read_bytes() == (root / other).read_bytes()

    check_against_engine(
        run.lake,
        full,
        {**{(SECURITY_EVENTS, p): v for p, v in parts.items()}, (USER_EVENTS, 0): logins},
    )


def check_against_engine(lake, manifest: Manifest, values: dict) -> None:
    """The batch view holds, to the bit, what the engine says of the same records."""
    engines = []
    for (topic, partition), records in sorted(values.items()):
        engine = Engine(scorer="calibrated")
        decoded = decode(topic, partition, range(len(records)), records)
        result = engine.process(decoded.events)
        engines.append(engine)
        path = next(
            file.path for file in manifest.event_files if f"{topic}-{partition}." in file.path
        )
        view = pq.ParquetFile(lake / "security" / path).read()
        kept = ~result.duplicate
        assert view["offset"].to_pylist() == np.array(decoded.events["offset"])[kept].tolist()
        assert view["raw"].to_pylist() == [
            records[i] for i, keep in zip(decoded.indexes, kept, strict=True) if keep
        ]
        columns = ["anomaly_score", *COMPONENTS]
        direct = [result.anomaly_score, *result.components.T]
        for name, expected in zip(columns, direct, strict=True):
            found = view[name].to_numpy(zero_copy_only=False).astype(np.float64)
            assert found.tobytes() == expected[kept].tobytes() or np.array_equal(
                found, expected[kept], equal_nan=True
            ), name
    users = rows_of(lake, manifest, "user").sort_by("user")
    features = user_features(engines)
    assert users.select(features.column_names).to_pylist() == features.to_pylist()
    assert manifest.total_users == features.num_rows


def test_offsets_without_records_are_accounted_for(run, topics, event):
    topics.create(SECURITY_EVENTS, 2)
    topics.commit(SECURITY_EVENTS, [event(n, "alice") for n in range(5)])
    topics.abort(SECURITY_EVENTS, [event(n, "mallory") for n in range(50, 53)])

    manifest = run().manifest

    seams = {seam.partition: seam for seam in manifest.seam}
    # 5 records and a commit marker, 3 aborted records and an abort marker
    assert seams[0].next_offset == 10
    assert (seams[0].rows, seams[0].skipped) == (5, 5)
    assert (seams[1].first_offset, seams[1].next_offset, seams[1].rows) == (0, 0, 0)
    assert "mallory" not in rows_of(run.lake, manifest, "event")["user"].to_pylist()


def test_damage_is_found_and_a_full_run_repairs_it(run, topics, event):
    topics.create(SECURITY_EVENTS)
    topics.produce(SECURITY_EVENTS, [event(n, USERS[n % 5]) for n in range(200)])
    first = run().manifest

    damaged = run.lake / "security" / first.event_files[0].path
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VerificationError, match=rf"{damaged.name} has .* --full"):
        run()
    topics.produce(SECURITY_EVENTS, [event(n, USERS[n % 5]) for n in range(200, 260)])
    with pytest.raises(VerificationError, match=damaged.name):
        run()
    assert lay_out.read_current(run.lake) == first.run_id

    damaged.write_bytes(whole)
    state = run.lake / "security" / first.state_files[0].path
    state.write_bytes(b"\0" * state.stat().st_size)
    repaired = run()
    assert repaired.manifest.full
    assert "recomputed" in repaired.notes[0]
    assert sum(seam.rows for seam in repaired.manifest.seam) == 260
    runs = sorted(path.name for path in (run.lake / lay_out.RUNS).iterdir())
    assert runs == sorted([first.run_id, repaired.manifest.run_id])

    (run.lake / lay_out.manifest_path(repaired.manifest.run_id)).write_bytes(b'{"run_id": ')
    again = run()
    assert again.manifest.full
    assert "manifest.json cannot be read" in again.notes[0]
    assert [seam.rows for seam in again.manifest.seam] == [260]
    assert lay_out.read_current(run.lake) == again.manifest.run_id
    runs = sorted(path.name for path in (run.lake / lay_out.RUNS).iterdir())
    assert runs == sorted([first.run_id, again.manifest.run_id])


def test_a_disk_that_fills_up_and_a_damaged_record_file_leave_the_last_run_served(
    run, topics, event, monkeypatch
):
    topics.create(SECURITY_EVENTS)
    topics.produce(SECURITY_EVENTS, [event(n, USERS[n % 5]) for n in range(50)])
    first = run().manifest
    topics.produce(SECURITY_EVENTS, [event(n, USERS[n % 5]) for n in range(50, 60)])

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("batch_layer.security.publish.sync", full)
        with pytest.raises(OSError, match=r"No space left on device: .*manifest\.json"):
            run()
    recorded = (run.lake / "master" / SECURITY_EVENTS).glob("ingest_date=*/*.parquet")
    damaged = max(recorded, key=lambda path: path.stat().st_size)
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BatchLayerError, match=rf"detection: .*{damaged.name}"):
        run(full=True)

    assert lay_out.read_current(run.lake) == first.run_id
    assert [path.name for path in (run.lake / lay_out.RUNS).iterdir()] == [first.run_id]
    damaged.write_bytes(whole)
    assert sum(seam.rows for seam in run().manifest.seam) == 60


def test_two_runs_never_write_to_one_place(tmp_path, settings):
    lake = settings.model_copy(update={"lake_dir": tmp_path})
    bounded = {("security-events", 0): (0, 1)}
    with locked(tmp_path / lay_out.SECURITY), locked(tmp_path / "out"):
        with pytest.raises(
            RunAlreadyRunningError, match=r"a security run is going on in .*security"
        ):
            published_run(None, lake, "run-2", RunOptions())
        with pytest.raises(RunAlreadyRunningError, match=r"going on in .*out"):
            bounded_run(None, lake, BoundedOptions(1), tmp_path / "out", bounded)


@pytest.mark.parametrize(
    ("file", "data", "named"),
    [
        (lay_out.CURRENT, b"\0" * 20, "security/CURRENT holds no run id"),
        (lay_out.CURRENT, b"run-9", "run-9/manifest.json cannot be read"),
        (lay_out.manifest_path("run-1"), b"{", "run-1/manifest.json cannot be read"),
        (lay_out.manifest_path("run-1"), None, "run-1/manifest.json cannot be read"),
    ],
    ids=["pointer-of-zeros", "pointer-to-no-run", "manifest-cut", "manifest-missing"],
)
def test_a_served_run_that_cannot_be_read_is_named_and_kept(tmp_path, file, data, named):
    users = tmp_path / lay_out.run_directory("run-1") / "users"
    users.mkdir(parents=True)
    (tmp_path / lay_out.manifest_path("run-1")).write_bytes(b"{}")
    lay_out.write_current(tmp_path, "run-1")
    path = tmp_path / file
    path.unlink() if data is None else path.write_bytes(data)

    with pytest.raises(VerificationError, match=named):
        current_manifest(tmp_path)
    sweep(tmp_path, keep_runs=1)
    assert users.is_dir()


def test_a_run_over_missing_or_empty_topics_publishes_nothing(run, topics):
    missing = run()
    topics.create(SECURITY_EVENTS, 2)
    topics.create(USER_EVENTS)
    empty = run()

    for outcome in (missing, empty):
        assert outcome.manifest is None
        assert "no record was ever ingested" in outcome.message
    assert lay_out.read_current(run.lake) is None


def test_old_runs_go_but_files_that_are_still_listed_stay(spark, settings, topics, event):
    settings = settings.model_copy(
        update={"kafka_bootstrap_servers": topics.bootstrap_servers, "keep_runs": 2}
    )
    topics.create(SECURITY_EVENTS)
    ids = []
    orphan = settings.lake_dir / lay_out.run_directory("run-of-a-crash")
    for number in range(4):
        topics.produce(SECURITY_EVENTS, [event(number * 10 + n, "alice") for n in range(10)])
        if number == 3:
            (orphan / "events").mkdir(parents=True)
            (orphan / "events" / ".half.parquet").write_bytes(b"PAR1")
        manifest = published_run(spark, settings, new_run_id(), RunOptions()).manifest
        ids.append(manifest.run_id)

    complete = [name for name in ids if (settings.lake_dir / lay_out.manifest_path(name)).exists()]
    assert complete == ids[2:]
    assert not orphan.exists()
    assert rows_of(settings.lake_dir, manifest, "event").num_rows == 40
    report = json.loads((settings.lake_dir / "security" / manifest.report).read_text())
    assert report["total_users"] == 1
    shutil.rmtree(settings.lake_dir)
