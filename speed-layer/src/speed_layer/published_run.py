"""The batch layer's published run, as far as the speed layer needs it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from contracts import lake
from contracts.alerts import Alert
from contracts.errors import LakeError
from contracts.views import Manifest, PartitionSeam
from speed_layer.errors import BatchStateError
from speed_layer.store import Position


@dataclass(frozen=True, slots=True)
class PublishedRun:
    """The run that ``security/CURRENT`` names."""

    lake_dir: Path
    manifest: Manifest

    @classmethod
    def read(cls, lake_dir: Path) -> Self | None:
        """Return the published run, None when there is none yet.

        Raises:
            BatchStateError: It cannot be read.
        """
        path = lake_dir / lake.CURRENT
        try:
            run_id = lake.read_current(lake_dir)
            if run_id is None:
                return None
            path = lake_dir / lake.manifest_path(run_id)
            return cls(lake_dir, Manifest.parse(path.read_bytes()))
        except (OSError, LakeError) as error:
            raise BatchStateError(f"{path} cannot be read: {error}") from error

    def seam(self, topic: str, partition: int) -> PartitionSeam | None:
        """Return a partition's seam, None when the run does not know the partition."""
        for seam in self.manifest.seam:
            if (seam.topic, seam.partition) == (topic, partition):
                return seam
        return None

    def state(self, topic: str, partition: int) -> bytes:
        """Return the detection state of a partition at its seam.

        Raises:
            BatchStateError: The run has none, or its file cannot be read.
        """
        name = lake.state_name(topic, partition)
        for file in self.manifest.state_files:
            if Path(file.path).name == name:
                try:
                    return (self.lake_dir / lake.SECURITY / file.path).read_bytes()
                except OSError as error:
                    raise BatchStateError(f"state file of run: {error}") from error
        raise BatchStateError(f"run {self.manifest.run_id} has no state file {name}")

    def alerts(self, topic: str, partition: int, from_offset: int, to_offset: int) -> list[Alert]:
        """Return alerts raised by events in ``[from_offset, to_offset)``, by offset.

        Raises:
            BatchStateError: An alert file cannot be read.
        """
        bounds = [
            ("topic", "=", topic),
            ("partition", "=", partition),
            ("offset", ">=", from_offset),
            ("offset", "<", to_offset),
        ]
        root = self.lake_dir / lake.SECURITY
        rows: list[dict[str, object]] = []
        try:
            for file in self.manifest.alert_files:
                rows += pq.read_table(root / file.path, filters=bounds).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise BatchStateError(f"alert file of run: {error}") from error
        return [Alert.model_validate(row) for row in sorted(rows, key=_offset)]


def _offset(row: dict[str, object]) -> int:
    offset = row["offset"]
    return offset if isinstance(offset, int) else 0


def position_at(seam: PartitionSeam) -> Position:
    """Return the position from which the speed layer goes on after a run."""
    return Position(
        first_offset=seam.first_offset,
        next_offset=seam.next_offset,
        rows=seam.rows,
        dead_letters=seam.dead_letters,
        duplicates=seam.duplicates,
        skipped=seam.skipped,
    )


def snake_case(alert: Alert) -> bytes:
    """Return an alert as the REST API spells it."""
    return json.dumps(alert.model_dump()).encode()


def known_seams(
    run: PublishedRun | None, keys: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], int]:
    """Return the seam's offset of those partitions that the run knows."""
    if run is None:
        return {}
    found = {(seam.topic, seam.partition): seam.next_offset for seam in run.manifest.seam}
    return {key: found[key] for key in keys if key in found}
