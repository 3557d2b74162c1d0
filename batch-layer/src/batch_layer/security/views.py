"""What a run lists in its manifest: files of its own, and of the run it continues."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq

from batch_layer.errors import VerificationError
from batch_layer.ingestion import Coverage
from batch_layer.security.detect import PartitionPlan, PartitionSummary
from batch_layer.security.files import view_name
from contracts import lake as lay_out
from contracts.errors import LakeError
from contracts.views import Manifest, PartitionSeam, ViewFile

Key = tuple[str, int]
"""Topic and partition."""


def read_manifest(lake: Path, run_id: str) -> Manifest:
    """Return what a published run holds.

    Raises:
        VerificationError: If the manifest cannot be read.
    """
    path = lake / lay_out.manifest_path(run_id)
    try:
        return Manifest.parse(path.read_bytes())
    except (OSError, LakeError) as error:
        raise VerificationError(f"the manifest {path} cannot be read: {error}") from error


def current_manifest(lake: Path) -> Manifest | None:
    """Return the manifest of the run that is served, if there is one.

    Raises:
        VerificationError: If it, or the file that names it, cannot be read.
    """
    try:
        run_id = lay_out.read_current(lake)
    except LakeError as error:
        raise VerificationError(str(error)) from error
    return None if run_id is None else read_manifest(lake, run_id)


def view_file(lake: Path, path: Path, rows: int) -> ViewFile:
    """Describe a file as it lies there now."""
    relative = path.relative_to(lake / lay_out.SECURITY)
    return ViewFile(path=relative.as_posix(), rows=rows, bytes=path.stat().st_size)


def plan_partitions(
    coverages: dict[str, Coverage], previous: Manifest | None, lake: Path
) -> list[PartitionPlan]:
    """Return every partition the master dataset holds, from where the last run ended.

    Args:
        coverages: How far each topic was ingested.
        previous: The run to continue; None recomputes all history.
        lake: The lake's root.
    """
    seams = {} if previous is None else {(s.topic, s.partition): s for s in previous.seam}
    states = {} if previous is None else state_files(previous)
    plans = []
    for topic, coverage in coverages.items():
        for partition, end in sorted(coverage.next.items()):
            seam = seams.get((topic, partition))
            start = coverage.first[partition] if seam is None else seam.next_offset
            state = states.get((topic, partition))
            state_file = None if state is None else lake / lay_out.SECURITY / state.path
            plans.append(PartitionPlan(topic, partition, start, end, state_file))
    return plans


def state_files(manifest: Manifest) -> dict[Key, ViewFile]:
    """Return each partition's detection state at the seam."""
    named = {Path(file.path).name: file for file in manifest.state_files}
    keys = sorted((seam.topic, seam.partition) for seam in manifest.seam)
    return {key: named[name] for key in keys if (name := lay_out.state_name(*key)) in named}


def next_seam(
    plans: Iterable[PartitionPlan],
    summaries: dict[Key, PartitionSummary],
    previous: Manifest | None,
) -> list[PartitionSeam]:
    """Account for every offset of every partition, over all history."""
    before = {} if previous is None else {(s.topic, s.partition): s for s in previous.seam}
    seams = []
    for plan in plans:
        key = (plan.topic, plan.partition)
        new = summaries.get(key, PartitionSummary(*key))
        old = before.pop(key, None) or PartitionSeam(
            topic=plan.topic,
            partition=plan.partition,
            first_offset=plan.start,
            next_offset=plan.start,
            rows=0,
            skipped=0,
        )
        seams.append(
            PartitionSeam(
                topic=plan.topic,
                partition=plan.partition,
                first_offset=old.first_offset,
                next_offset=plan.end,
                rows=old.rows + new.rows,
                dead_letters=old.dead_letters + new.dead_letters,
                duplicates=old.duplicates + new.duplicates,
                skipped=old.skipped + (plan.end - plan.start) - new.records,
            )
        )
    # A partition that the master dataset has lost since stays in the view.
    return [*seams, *before.values()]


def new_files(
    lake: Path, run_id: str, summaries: dict[Key, PartitionSummary]
) -> tuple[list[ViewFile], list[ViewFile], list[ViewFile]]:
    """Return the event, alert and aggregate files that the run's tasks wrote."""
    found: dict[str, list[ViewFile]] = {"events": [], "alerts": [], "aggregates": []}
    for (topic, partition), summary in sorted(summaries.items()):
        counts = {
            "events": summary.rows,
            "alerts": summary.alerts,
            "aggregates": summary.aggregates,
        }
        for folder, rows in counts.items():
            path = lake / lay_out.run_directory(run_id) / folder / view_name(topic, partition)
            if rows:
                found[folder].append(view_file(lake, path, rows))
    return found["events"], found["alerts"], found["aggregates"]


def next_states(
    lake: Path,
    run_id: str,
    summaries: dict[Key, PartitionSummary],
    previous: Manifest | None,
) -> list[ViewFile]:
    """Return each partition's state at the new seam: this run's, or the last run's if unchanged."""
    kept = {} if previous is None else state_files(previous)
    for key in summaries:
        path = lake / lay_out.run_directory(run_id) / "state" / lay_out.state_name(*key)
        kept[key] = view_file(lake, path, rows=1)
    # Features are merged in this order: a sum of floats depends on it.
    return [kept[key] for key in sorted(kept)]


def user_files(lake: Path, run_id: str) -> list[ViewFile]:
    """Return the files of the run's users."""
    folder = lake / lay_out.run_directory(run_id) / "users"
    return [
        view_file(lake, path, pq.read_metadata(path).num_rows)
        for path in sorted(folder.glob("is_anomaly=*/*.parquet"))
    ]
