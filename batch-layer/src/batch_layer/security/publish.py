"""Verify a run by reading it back, publish it, and sweep what no kept run lists."""

import json
import logging
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch_layer.errors import VerificationError
from batch_layer.security.files import sync
from batch_layer.security.views import read_manifest
from contracts import lake as lay_out
from contracts.errors import LakeError
from contracts.views import Manifest, ViewFile

logger = logging.getLogger(__name__)


def publish(lake: Path, manifest: Manifest) -> None:
    """Verify, write the manifest, and let readers see the run.

    Raises:
        VerificationError: If a file or a count is wrong; nothing was published then.
    """
    verify(lake, manifest)
    path = lake / lay_out.manifest_path(manifest.run_id)
    draft = path.with_name(f".{path.name}")
    draft.write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
    sync(draft)
    draft.replace(path)
    lay_out.write_current(lake, manifest.run_id)


def verify(lake: Path, manifest: Manifest) -> None:
    """Read back every file a manifest lists and compare all counts with it.

    New files are read whole. Those of earlier runs were read whole then: now their size, their
    footer and their offsets (checked against the pages' checksums) must be as they were.

    Raises:
        VerificationError: naming the file or the partition.
    """
    own = lay_out.run_directory(manifest.run_id).relative_to(lay_out.SECURITY).as_posix() + "/"
    rows: dict[tuple[str, int], int] = {}
    for file in manifest.event_files:
        columns = None if file.path.startswith(own) else ["topic", "partition", "offset"]
        _add_event_rows(rows, file, _read(lake, file, columns))
    for file in (*manifest.alert_files, *manifest.user_files):
        _read(lake, file, None)
    for file in manifest.state_files:
        _check_size(lake, file)
    counted = sum(
        pc.sum(_read(lake, file, ["events"])["events"]).as_py() for file in manifest.aggregate_files
    )
    _check_seam(manifest, rows, counted)
    _check_users(lake, manifest)


def check_files(lake: Path, manifest: Manifest) -> None:
    """Make sure that every file a manifest lists is there, in its size.

    Raises:
        VerificationError: naming the file, if not.
    """
    for file in _files(manifest):
        _check_size(lake, file)


def _read(lake: Path, file: ViewFile, columns: list[str] | None) -> pa.Table:
    _check_size(lake, file)
    path = lake / lay_out.SECURITY / file.path
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            kept = []
            # One row group at a time: only the identity is kept, whatever is read.
            for group in range(parquet.num_row_groups):
                table = parquet.read_row_group(group, columns=columns)
                wanted = ("topic", "partition", "offset", "events")
                kept.append(table.select([n for n in wanted if n in table.column_names]))
            rows = parquet.metadata.num_rows
    except (OSError, pa.ArrowException) as error:
        raise VerificationError(
            f"{path} is damaged: {error}; a full run (`security-run --full`) rebuilds the view"
        ) from error
    if rows != file.rows:
        raise VerificationError(f"{path} holds {rows} rows, not {file.rows}")
    return pa.concat_tables(kept) if kept else pa.table({})


def _check_size(lake: Path, file: ViewFile) -> None:
    path = lake / lay_out.SECURITY / file.path
    try:
        size = path.stat().st_size
    except OSError as error:
        raise VerificationError(
            f"{path} is missing; a full run (`security-run --full`) rebuilds the view"
        ) from error
    if size != file.bytes:
        raise VerificationError(
            f"{path} has {size} bytes, not {file.bytes}; a full run (`security-run --full`) "
            "rebuilds the view"
        )


def _add_event_rows(rows: dict[tuple[str, int], int], file: ViewFile, table: pa.Table) -> None:
    if table.num_rows == 0:
        return
    key = (table["topic"][0].as_py(), table["partition"][0].as_py())
    offsets = table["offset"].combine_chunks()
    one_topic = pc.all(pc.equal(table["topic"], key[0])).as_py()
    one_partition = pc.all(pc.equal(table["partition"], key[1])).as_py()
    if not (one_topic and one_partition):
        raise VerificationError(f"{file.path} mixes partitions")
    if pc.all(pc.greater(offsets[1:], offsets[:-1])).as_py() is False:
        raise VerificationError(f"{file.path} is not sorted by offset")
    rows[key] = rows.get(key, 0) + table.num_rows


def _check_seam(manifest: Manifest, rows: dict[tuple[str, int], int], counted: int) -> None:
    for seam in manifest.seam:
        name = f"{seam.topic}[{seam.partition}]"
        found = rows.pop((seam.topic, seam.partition), 0)
        if found != seam.rows:
            raise VerificationError(f"{name}: the files hold {found} events, not {seam.rows}")
        accounted = seam.rows + seam.dead_letters + seam.duplicates + seam.skipped
        covered = seam.next_offset - seam.first_offset
        if accounted != covered or seam.skipped < 0:
            raise VerificationError(f"{name}: {accounted} offsets accounted for, {covered} covered")
    if rows:
        raise VerificationError(f"events of partitions outside the seam: {sorted(rows)}")
    total = sum(seam.rows for seam in manifest.seam)
    if counted != total:
        raise VerificationError(f"the aggregates count {counted} events, the view holds {total}")


def _check_users(lake: Path, manifest: Manifest) -> None:
    total = sum(file.rows for file in manifest.user_files)
    anomalous = sum(file.rows for file in manifest.user_files if "/is_anomaly=1/" in file.path)
    if (total, anomalous) != (manifest.total_users, manifest.anomalous_users):
        raise VerificationError(
            f"the files hold {total} users, {anomalous} anomalous, not "
            f"{manifest.total_users} and {manifest.anomalous_users}"
        )
    path = lake / lay_out.SECURITY / manifest.report
    try:
        report = json.loads(path.read_bytes())
        reported = (report["total_users"], report["anomalous_users"])
    except (OSError, ValueError, KeyError) as error:
        raise VerificationError(f"{path} cannot be read: {error}") from error
    if reported != (total, anomalous):
        raise VerificationError(f"{path} reports {reported}, the files hold {(total, anomalous)}")


def sweep(lake: Path, keep_runs: int) -> None:
    """Delete old runs, and what crashed runs left; never a file that a kept manifest lists.

    Call it only while no run is going on.
    """
    runs = lake / lay_out.RUNS
    if not runs.is_dir():
        return
    try:
        current = lay_out.read_current(lake)
        manifests = _readable(lake, current)
    except (LakeError, VerificationError) as error:
        logger.warning("nothing is swept while it is unclear what is served: %s", error)
        return
    manifests.sort(key=lambda manifest: (manifest.run_id == current, manifest.created_at))
    kept = manifests[-keep_runs:]
    listed = {lake / lay_out.SECURITY / file.path for run in kept for file in _files(run)}
    kept_ids = {manifest.run_id for manifest in kept}
    for folder in runs.iterdir():
        if folder.name not in kept_ids:
            _remove_all_but(folder, listed)


def _readable(lake: Path, current: str | None) -> list[Manifest]:
    """Return the manifests of all runs; an old one that is damaged is worth no more than none.

    Raises:
        VerificationError: If the served run's cannot be read.
    """
    manifests = [] if current is None else [read_manifest(lake, current)]
    for folder in (lake / lay_out.RUNS).iterdir():
        if folder.name == current or not (folder / "manifest.json").exists():
            continue
        try:
            manifests.append(read_manifest(lake, folder.name))
        except VerificationError as error:
            logger.warning(
                "swept like a run that crashed: %s", error, extra={"run_id": folder.name}
            )
    return manifests


def _files(manifest: Manifest) -> list[ViewFile]:
    return [
        *manifest.event_files,
        *manifest.alert_files,
        *manifest.aggregate_files,
        *manifest.user_files,
        *manifest.state_files,
    ]


def _remove_all_but(folder: Path, listed: set[Path]) -> None:
    # First the manifest: without it no reader takes what is left for a run.
    (folder / "manifest.json").unlink(missing_ok=True)
    if not any(path.is_relative_to(folder) for path in listed):
        logger.info("removing %s", folder, extra={"run_id": folder.name})
        shutil.rmtree(folder)
        return
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in listed:
            path.unlink()


def discard(lake: Path, run_id: str) -> None:
    """Remove what a failed run wrote; nothing lists it."""
    shutil.rmtree(lake / lay_out.run_directory(run_id), ignore_errors=True)
