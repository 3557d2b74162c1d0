"""Load a published run from the lake into a batch view."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from contracts.alerts import ALERT_SCHEMA
from contracts.errors import LakeError
from contracts.lake import SECURITY, manifest_path
from contracts.views import AGGREGATE_SCHEMA, USER_SCHEMA, Manifest, ViewFile
from serving_layer.errors import DamagedFileError, MissingFileError
from serving_layer.views.alert_list import AlertList, entry
from serving_layer.views.batch import Aggregates, BatchView, below, held_by_stream
from serving_layer.views.event_files import EventFileCache, checked, read
from serving_layer.views.index import EventIndex
from serving_layer.views.interning import Interners
from serving_layer.views.pieces import Piece
from serving_layer.views.scratch import Scratch
from serving_layer.views.streams import stream_code
from serving_layer.views.tiers import compacted
from serving_layer.views.users import UserTable


def read_manifest(lake: Path, run_id: str) -> Manifest:
    """Return the manifest of a run.

    Raises:
        RunError: If there is none, or it cannot be read.
    """
    path = manifest_path(run_id)
    try:
        return Manifest.parse((lake / path).read_bytes())
    except FileNotFoundError:
        raise MissingFileError(str(path), "the manifest is missing") from None
    except (LakeError, OSError) as error:
        raise DamagedFileError(str(path), str(error)) from error


def load_run(
    lake: Path,
    manifest: Manifest,
    cache: EventFileCache,
    interners: Interners,
    scratch: Scratch,
    previous: Sequence[EventIndex] = (),
) -> BatchView:
    """Load a run. Event files that ``previous`` indexes hold already are not read again.

    Raises:
        RunError: Naming the file that is missing or damaged.
        OSError: The disk takes no copies.
    """
    security = lake / SECURITY
    listed = {file.path: file for file in manifest.event_files}
    kept = [index for index in previous if index.files and index.files <= listed.keys()]
    held = frozenset[str]().union(*(index.files for index in kept))
    for path in held:
        checked(security / path, listed[path])
    new = [
        _indexed(cache.rows(security, file), file, interners, scratch)
        for path, file in listed.items()
        if path not in held and file.rows
    ]
    view = BatchView(manifest=manifest)
    owned = [below(index, view.seam) for index in compacted([*kept, *new], scratch=scratch)]
    indexes = tuple(index for index in owned if index is not None)
    alerts = _table(security, manifest.alert_files, ALERT_SCHEMA)
    return BatchView(
        manifest=manifest,
        indexes=indexes,
        alerts=AlertList([entry(record) for record in alerts.to_pylist()]).below(view.seam),
        aggregates=Aggregates.of(_table(security, manifest.aggregate_files, AGGREGATE_SCHEMA)),
        users=run_users(security, manifest),
        report=_report(security, manifest),
        held=held_by_stream(indexes),
    )


def _indexed(piece: Piece, file: ViewFile, interners: Interners, scratch: Scratch) -> EventIndex:
    topics = piece.column("topic")
    partitions = np.asarray(piece.column("partition").to_numpy(), dtype=np.int32)
    codes = np.zeros(len(partitions), dtype=np.int32)
    for topic in topics.unique().to_pylist():
        base = stream_code(topic, 0)
        codes[pc.equal(topics, topic).to_numpy()] = base
    files = frozenset({file.path})
    return EventIndex.of_piece(piece, codes | partitions, interners, files, scratch)


def run_users(security: Path, manifest: Manifest) -> UserTable:
    """Return a run's users.

    Raises:
        RunError: If a file of theirs is missing or damaged.
    """
    schema = USER_SCHEMA.append(pa.field("is_anomaly", pa.bool_()))
    tables = [schema.empty_table()]
    for file in manifest.user_files:
        users = _table(security, [file], USER_SCHEMA)
        # The verdict is no column: it stands in the path.
        verdict = "is_anomaly=1" in Path(file.path).parts
        flags = pa.array([verdict] * users.num_rows, pa.bool_())
        tables.append(users.append_column(schema.field("is_anomaly"), flags))
    return UserTable(pa.concat_tables(tables), manifest.run_id)


def _report(security: Path, manifest: Manifest) -> bytes:
    try:
        report = (security / manifest.report).read_bytes()
        orjson.loads(report)
    except OSError as error:
        raise MissingFileError(manifest.report, str(error.strerror)) from error
    except orjson.JSONDecodeError as error:
        raise DamagedFileError(manifest.report, str(error)) from error
    return report


def _table(security: Path, files: Sequence[ViewFile], schema: pa.Schema) -> pa.Table:
    """Return the rows of small view files, in the schema's columns and types."""
    batches: list[pa.RecordBatch] = []
    for file in files:
        checked(security / file.path, file)
        batches += read(security / file.path, file, schema)
    return pa.Table.from_batches(batches, schema)
