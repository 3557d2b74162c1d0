"""Which events another threshold of the anomaly score would have called anomalous."""

from serving_layer.backtests.judging import Firing
from serving_layer.views.query import EventFilter
from serving_layer.views.reads import event_page, gathered
from serving_layer.views.snapshot import Snapshot

MOST_TOLD = 10_000


def fired(
    snapshot: Snapshot, threshold: float, start_time: int, end_time: int
) -> tuple[int, list[Firing]]:
    """Return how many events score at least ``threshold``, and the newest ``MOST_TOLD``; blocks."""
    wanted = EventFilter(start_time=start_time, end_time=end_time, min_anomaly_score=threshold)
    indexes = [*snapshot.batch.indexes, *snapshot.realtime.indexes]
    total = sum(index.count(wanted) for index in indexes)
    found = event_page(snapshot, wanted, None, MOST_TOLD).items
    values = gathered(found, ("event_id",))
    firings = [
        Firing(each["event_id"], each["user"], each["timestamp"], (each["event_id"],))
        for each in values
    ]
    return total, firings


def anomalous_now(snapshot: Snapshot, start_time: int, end_time: int) -> int:
    """Return how many events of a range are anomalous as things are."""
    wanted = EventFilter(start_time=start_time, end_time=end_time, anomalies_only=True)
    indexes = [*snapshot.batch.indexes, *snapshot.realtime.indexes]
    return sum(index.count(wanted) for index in indexes)
