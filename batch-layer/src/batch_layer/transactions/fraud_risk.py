"""How far a purchase leaves its customer's habits: the detection engine over transactions.

1. Each purchase becomes an event of the engine: amount (in cents, by powers of two), category, city,
   device and hour. The engine keeps a baseline per customer and one of all, and says how
   surprising each value is for this customer. Producer's scores and labels are not read.
2. Fraud comes in series, so what was surprising adds up: evidence = own + evidence of the
   customer's purchase before, halved with every ``HALF_LIFE_MS`` that passed.
3. risk = 1 - 2^(-evidence / ``SUSPICIOUS``), so 0.5 is the threshold.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.columns import EVENT_SCHEMA
from contracts.views import COMPONENTS
from detection import Engine

INPUTS = (
    "transaction_id",
    "event_timestamp",
    "customer_id",
    "category",
    "city",
    "device_type",
    "total_amount",
)
"""The only columns that are read."""

HALF_LIFE_MS = 3_600_000
SUSPICIOUS = 0.75
"""Evidence of a suspicious purchase; 1 is what the engine calls an anomaly on its own. Chosen, with
the half-life, on seeds 1 and 2 of the generator; `make bench-fraud` shows others."""
WORTH_SAYING = 0.15
"""Evidence from which a part of it is named as a reason."""

_MOST_CENTS = 2.0**62
_WORDS = {
    "volume_anomaly": ("amount", "total_amount"),
    "type_anomaly": ("category", "category"),
    "location_anomaly": ("city", "city"),
    "device_anomaly": ("device", "device_type"),
    "time_anomaly": ("hour", "event_timestamp"),
}

Floats = NDArray[np.float64]


def fraud_risk(purchases: pa.Table) -> pa.Table:
    """Judge purchases, each by what came before it.

    Args:
        purchases: At least the columns ``INPUTS``, one or many customers, in order of event time.

    Returns:
        ``risk`` (0 to 1) and ``reasons`` (list of strings, empty below 0.5) for each row. A
        transaction id that comes again has risk 0: it was judged the first time.
    """
    result = Engine().process(_events(purchases))
    own = _evidence(result.anomaly_score)
    evidence = _accumulated(purchases, own)
    risk = np.where(result.duplicate, 0.0, 1.0 - np.exp2(-evidence / SUSPICIOUS))
    reasons: list[list[str]] = [[] for _ in range(len(risk))]
    parts = _evidence(result.components)
    for row in np.flatnonzero(risk >= 0.5).tolist():
        reasons[row] = _reasons(purchases, row, parts[row], evidence[row] - own[row])
    return pa.table({"risk": risk, "reasons": pa.array(reasons, pa.list_(pa.string()))})


def _events(purchases: pa.Table) -> pa.RecordBatch:
    """Give purchases the shape of the engine's events; what a purchase lacks is null."""
    rows = purchases.num_rows
    amount = np.nan_to_num(purchases["total_amount"].to_numpy(), nan=-1.0) * 100
    given = {
        "offset": pa.array(np.arange(rows)),
        "event_id": purchases["transaction_id"],
        "timestamp": pa.array(_milliseconds(purchases)),
        "event_type": purchases["category"],
        "user": purchases["customer_id"],
        "geo_location": purchases["city"],
        "user_agent": purchases["device_type"],
        "bytes_transferred": pa.array(
            np.clip(np.round(amount), -1, _MOST_CENTS).astype(np.int64), mask=amount < 0
        ),
    }
    columns = [
        _one(given[field.name], field.type) if field.name in given else pa.nulls(rows, field.type)
        for field in EVENT_SCHEMA
    ]
    return pa.record_batch(columns, schema=EVENT_SCHEMA)


def _one(column: pa.Array | pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return whole.cast(kind)


def _milliseconds(purchases: pa.Table) -> NDArray[np.int64]:
    micros: NDArray[np.int64] = pc.cast(purchases["event_timestamp"], pa.int64()).to_numpy()
    return micros // 1000


def _evidence(score: Floats) -> Floats:
    """Undo the engine's mapping of sums to 0..1; nothing is evidence where it did not judge.

    Examples:
        >>> _evidence(np.array([0.0, 0.5, 0.75, np.nan])).tolist()
        [0.0, 1.0, 2.0, 0.0]
    """
    known = np.minimum(np.nan_to_num(score, nan=0.0), 1.0 - 1e-12)
    return np.abs(np.log2(1.0 - known))


def _accumulated(purchases: pa.Table, own: Floats) -> Floats:
    """Add to each purchase's evidence what is left of its customer's before."""
    evidence, last = own.copy(), dict[str, tuple[float, int]]()
    customers, times = purchases["customer_id"].to_pylist(), _milliseconds(purchases).tolist()
    for row, (customer, time) in enumerate(zip(customers, times, strict=True)):
        before, then = last.get(customer, (0.0, time))
        evidence[row] += before * 0.5 ** ((time - then) / HALF_LIFE_MS)
        last[customer] = (float(evidence[row]), time)
    return evidence


def _reasons(purchases: pa.Table, row: int, parts: Floats, before: float) -> list[str]:
    """Name what is unusual for the customer, most unusual first."""
    said = []
    for place in np.argsort(-parts, kind="stable").tolist():
        word = _WORDS.get(COMPONENTS[place])
        if word is not None and parts[place] >= WORTH_SAYING:
            said.append(f"unusual {word[0]}: {_text(purchases[word[1]][row])}")
    if before >= WORTH_SAYING:
        said.append("unusual purchases of the same customer shortly before")
    return said or ["many purchases within a short time"]


def _text(value: pa.Scalar) -> str:
    if pa.types.is_timestamp(value.type):
        return f"{value.as_py():%H}:00 UTC"
    return f"{value.as_py():.2f}" if pa.types.is_floating(value.type) else str(value.as_py())
