"""``streamguard dead-letters``: records that could not be read, newest first, and why."""

import argparse

from contracts.topics import ALL_TOPICS, DEAD_LETTER_SUFFIX, dead_letter_topic
from streamguard_cli.kafka import Record, newest
from streamguard_cli.output import say
from streamguard_cli.tables import Column, Json, field, moment, show_json, show_table

_SHOWN_CHARACTERS = 60
_SOURCES = tuple(
    topic.name.removesuffix(DEAD_LETTER_SUFFIX)
    for topic in ALL_TOPICS
    if topic.name.endswith(DEAD_LETTER_SUFFIX)
)
_COLUMNS: tuple[Column, ...] = (
    ("REFUSED (UTC)", moment("refused_at")),
    ("RECORD", lambda row: f"{row['topic']}/{row['partition']}@{row['offset']}"),
    ("REASON", field("reason")),
    ("ERROR", field("error")),
    ("BYTES", field("bytes")),
    ("BEGINS WITH", lambda row: row["text"][:_SHOWN_CHARACTERS]),
)


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the verb and its flags."""
    parser = commands.add_parser(
        "dead-letters", help="list records that could not be read, and why"
    )
    parser.add_argument(
        "topics", metavar="TOPIC", nargs="*", help=f"default: {', '.join(_SOURCES)}"
    )
    parser.add_argument("--limit", type=_limit, default=20, help="rows (default: 20)")
    parser.add_argument("--broker", default="localhost:9092", help="default: localhost:9092")
    parser.add_argument("--json", action="store_true", help="with the whole record, as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the newest dead letters.

    Raises:
        DeliveryError: If the broker does not answer, or a topic has no dead letters' topic.
    """
    topics = [dead_letter_topic(topic) for topic in options.topics or _SOURCES]
    rows = [_row(each) for each in newest(options.broker, topics, options.limit)]
    if options.json:
        show_json(rows)
        return 0
    show_table(rows, _COLUMNS, "no record was refused")
    if len(rows) == options.limit:
        say(f"the newest {options.limit}; --limit for more")
    return 0


def _limit(text: str) -> int:
    limit = int(text)
    if limit < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return limit


def _row(record: Record) -> Json:
    """Return what the one who mends the producer wants to know; ``refused_at`` in Unix ms."""
    headers = record.headers
    return {
        "refused_at": record.timestamp,
        "topic": headers.get("source-topic"),
        "partition": headers.get("source-partition"),
        "offset": headers.get("source-offset"),
        "reason": headers.get("reason"),
        "error": headers.get("error"),
        "key": None if record.key is None else record.key.decode(errors="replace"),
        "bytes": len(record.value or b""),
        "text": (record.value or b"").decode(errors="replace"),
    }
