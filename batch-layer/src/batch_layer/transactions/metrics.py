"""Prometheus metrics of the transactions side."""

from prometheus_client import Counter, Gauge

BATCHES = Counter("batch_transaction_batches_total", "Transaction batches ended.", ["status"])
RUNNING = Gauge("batch_transaction_batches_running", "Transaction batches running now.")
MALFORMED = Counter(
    "batch_transactions_malformed_total",
    "Transaction records set aside, by who read them (stream or batch).",
    ["reader"],
)
STREAM_UP = Gauge("batch_stream_up", "1 while the streaming query runs.", ["query"])
STREAM_RESTARTS = Counter(
    "batch_stream_restarts_total", "Restarts of a streaming query that died.", ["query"]
)
