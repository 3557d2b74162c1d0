"""Where a partition starts: its own store, else the published run's state, else the log.

1. Own store, at or above the seam: newest state snapshot, then the values of the segments
   after it through decoder and engine.
2. Store missing, damaged, of another detection version, or below the seam: the state file of
   the published run, at its seam. Alerts that the run raised above the store's old position
   are published from the run, since nobody else will.
3. No usable run: its own store, if that is whole, even below the seam; else from the first
   offset in the log, with empty state.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from contracts.log_lines import at
from detection import VERSION, Engine, Scorer, StateError
from speed_layer.decoding import decode
from speed_layer.errors import BatchStateError, StoreDamagedError
from speed_layer.kafka import Key
from speed_layer.outgoing import alert_entries
from speed_layer.published_run import PublishedRun, position_at
from speed_layer.segments import replayable
from speed_layer.store import Position, Store

logger = logging.getLogger(__name__)

_REPLAYED_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Recovered:
    """Detection state at the store's position, and where it came from."""

    engine: Engine
    source: str


def version_of(scorer: Scorer) -> str:
    """Return what must be equal for stored state and scores to be continued."""
    return f"{VERSION}/{scorer}"


def recover(store: Store, key: Key, lake_dir: Path, scorer: Scorer, log_start: int) -> Recovered:
    """Bring ``store`` to a position and return the detection state there.

    Args:
        store: The partition's store, just opened.
        key: Topic and partition.
        lake_dir: The lake.
        scorer: ``calibrated`` or ``reference``.
        log_start: First offset in the log.

    Raises:
        StoreUnavailableError: The store cannot be written now.
    """
    written_by = store.version
    if store.position is not None and written_by != version_of(scorer):
        pending = store.outbox()
        store.set_aside(f"written by detection {written_by}, this is {version_of(scorer)}")
        store.add_to_outbox(pending)
    run = _usable_run(lake_dir, scorer)
    seam = run.seam(*key) if run is not None else None
    below_seam = store.position and seam and store.position.next_offset < seam.next_offset
    recovered = None if below_seam else _from_store(store, key, scorer)
    return recovered or _from_run_or_log(store, key, run, scorer, log_start)


def _usable_run(lake_dir: Path, scorer: Scorer) -> PublishedRun | None:
    try:
        run = PublishedRun.read(lake_dir)
    except BatchStateError:
        logger.exception("not starting from the published run")
        return None
    if run is None:
        return None
    of_run = f"{run.manifest.detection_version}/{run.manifest.scorer}"
    if of_run != version_of(scorer):
        logger.warning(
            "not starting from run %s: its detection is %s, ours %s",
            run.manifest.run_id,
            of_run,
            version_of(scorer),
            extra={"run_id": run.manifest.run_id},
        )
        return None
    return run


def _from_store(store: Store, key: Key, scorer: Scorer) -> Recovered | None:
    """Replay the store; one that cannot be replayed is set aside."""
    if store.position is None:
        return None
    try:
        return Recovered(replayed(store, key, scorer), "store")
    except (StoreDamagedError, StateError) as error:
        store.set_aside(str(error))
        return None


def _from_run_or_log(
    store: Store, key: Key, run: PublishedRun | None, scorer: Scorer, log_start: int
) -> Recovered:
    if run is not None and run.seam(*key) is not None:
        try:
            return _from_run(store, key, run, scorer)
        except (BatchStateError, StateError):
            run_id = run.manifest.run_id
            logger.exception(
                "not starting %s[%d] from run %s",
                *key,
                run_id,
                extra={**at(*key), "run_id": run_id},
            )
    if recovered := _from_store(store, key, scorer):
        return recovered
    store.begin(Position(log_start, log_start), version_of(scorer), state=None)
    return Recovered(Engine(scorer=scorer), "log")


def _from_run(store: Store, key: Key, run: PublishedRun, scorer: Scorer) -> Recovered:
    seam = run.seam(*key)
    if seam is None:
        raise BatchStateError(f"run {run.manifest.run_id} does not know {key[0]}[{key[1]}]")
    state = run.state(*key)
    engine = Engine.restore(state)
    if store.position is not None:
        alerts = run.alerts(*key, store.position.next_offset, seam.next_offset)
        store.add_to_outbox(alert_entries(alerts))
    store.begin(position_at(seam), version_of(scorer), state)
    return Recovered(engine, f"run {run.manifest.run_id}")


def replayed(store: Store, key: Key, scorer: Scorer) -> Engine:
    """Return the detection state at the store's position, from what the store holds.

    Raises:
        StoreDamagedError: The store does not hold it.
        StateError: Its snapshot cannot be continued.
    """
    position, snapshot = store.position, store.snapshot()
    if position is None:
        raise StoreDamagedError("a store without a position has nothing to replay")
    engine = Engine(scorer=scorer) if snapshot is None else Engine.restore(snapshot.state)
    start = position.first_offset if snapshot is None else snapshot.next_offset
    offsets: list[int] = []
    values: list[bytes] = []
    for segment, duplicates in store.segments(start):
        more_offsets, more_values = replayable(segment, duplicates)
        offsets += more_offsets
        values += more_values
        if len(offsets) >= _REPLAYED_AT_ONCE:
            _feed(engine, key, offsets, values)
            offsets, values = [], []
    _feed(engine, key, offsets, values)
    return engine


def _feed(engine: Engine, key: Key, offsets: list[int], values: list[bytes]) -> None:
    if offsets:
        engine.process(decode(*key, offsets, values).events)
