"""The command line's flags, with their help."""

import argparse
from pathlib import Path

from contracts.topics import SECURITY_EVENTS
from event_generator import arguments
from event_generator.security.stream import EVERY_50TH

TRANSACTIONS_EPILOG = """\
environment (a flag wins over its variable):
  KAFKA_BOOTSTRAP_SERVERS  brokers (localhost:9092)
  KAFKA_TOPIC              topic (transactions-stream)
  EVENTS_PER_SECOND        rate (10)
  FRAUD_RATE               share of fraudulent transactions (0.02)
  FRAUD_MODE               simple or realistic (simple)
  NUM_CUSTOMERS            customers (5000)
  NUM_PRODUCTS             products, at least 10 (500)
  NUM_STORES               stores (50)
"""

SEED_EPILOG = """\
environment:
  TOTAL_RECORDS            transactions (1000000)
  DATE_RANGE_DAYS          days of history, ending today (90)
  DELTA_OUTPUT_PATH        Delta table to replace (.stack/lake/seed/transactions)
  SEED_KAFKA               also write them to Kafka (false)
  KAFKA_BATCH_TOPIC        topic for that (transactions-batch)
  KAFKA_BOOTSTRAP_SERVERS  brokers for that (localhost:9092)
  SPARK_MASTER             accepted and ignored: the seeder needs no Spark
  FRAUD_RATE, FRAUD_MODE, NUM_CUSTOMERS, NUM_PRODUCTS, NUM_STORES as for `transactions`
"""


def build() -> argparse.ArgumentParser:
    """Return the parser of ``python -m event_generator``."""
    parser = argparse.ArgumentParser(
        prog="event-generator", description="Generate security events and transactions."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _security(commands.add_parser("security", help="security events, with known anomalies"))
    _transactions(
        commands.add_parser(
            "transactions",
            help="transactions, with known fraud",
            epilog=TRANSACTIONS_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    seed = commands.add_parser(
        "seed",
        help="transaction history as a Delta table",
        epilog=SEED_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _reproducible(seed)
    return parser


def _security(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rate", type=arguments.rate, default=100.0, help="events/s; 0: as fast as possible (100)"
    )
    parser.add_argument("--broker", default="localhost:9092", help="brokers (localhost:9092)")
    parser.add_argument("--topic", default=SECURITY_EVENTS, help=f"topic ({SECURITY_EVENTS})")
    parser.add_argument(
        "--users", type=arguments.users, default=14, help="users; the first 14 have names (14)"
    )
    parser.add_argument(
        "--anomaly-rate",
        type=arguments.share,
        default=EVERY_50TH,
        help="share of anomalous events; at 0.02 exactly every 50th (0.02)",
    )
    _common(parser)


def _transactions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rate", type=arguments.rate, help="as EVENTS_PER_SECOND")
    parser.add_argument("--broker", help="as KAFKA_BOOTSTRAP_SERVERS")
    parser.add_argument("--topic", help="as KAFKA_TOPIC")
    _common(parser)


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--duration", type=arguments.seconds, help="stop after SECONDS", metavar="SECONDS"
    )
    parser.add_argument("--count", type=arguments.positive, help="stop after COUNT events")
    _reproducible(parser)
    parser.add_argument(
        "--clock-span",
        type=arguments.seconds,
        metavar="SECONDS",
        help="event time that --count events cover; without --start-time it ends now",
    )
    parser.add_argument(
        "--labels", type=Path, metavar="FILE", help="write the ground truth there, as NDJSON"
    )
    parser.add_argument(
        "--output", metavar="FILE", help="write NDJSON there instead of Kafka; -: standard output"
    )


def _reproducible(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed", type=arguments.seed, help="same seed and arguments, same bytes (random)"
    )
    parser.add_argument(
        "--start-time",
        type=arguments.start_time,
        metavar="TIME",
        help="event time of the first event, Unix ms or ISO-8601 (now)",
    )
