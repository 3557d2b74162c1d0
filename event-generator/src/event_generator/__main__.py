"""``python -m event_generator security|transactions|seed``: flags to streams, sinks and limits."""

import argparse
import secrets
import sys
import time
from collections.abc import Callable, Sequence

from contracts import traces
from event_generator import parser, plans, settings
from event_generator.batches import EventStream
from event_generator.clock import DAY_MS
from event_generator.errors import ConfigurationError, GeneratorError, StoppedError
from event_generator.kafka import KafkaSink
from event_generator.pacing import Pacer
from event_generator.running import Labels, Limits, Totals, run, say_on_stderr
from event_generator.security.stream import SecurityScenario, SecurityStream
from event_generator.sinks import FileSink, Sink
from event_generator.stopping import StopSignal
from event_generator.transactions.columns import Source, TransactionScenario, TransactionSource
from event_generator.transactions.hours import BusinessClock
from event_generator.transactions.realistic import RealisticSource
from event_generator.transactions.seeder import write_table
from event_generator.transactions.stream import TransactionStream

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

_SOURCES: dict[str, Callable[[TransactionScenario], Source]] = {
    "simple": TransactionSource,
    "realistic": RealisticSource,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0: everything was delivered. 1: something was not, or could not be written. 2: bad flag or
    environment variable.
    """
    options = parser.build().parse_args(argv)
    traces.configure("event-generator")
    if options.seed is None:
        options.seed = secrets.randbits(32)
    try:
        with StopSignal() as stop:
            return _COMMANDS[options.command](options, stop)
    except ConfigurationError as error:
        say_on_stderr(str(error))
        return EXIT_USAGE
    except StoppedError as error:
        say_on_stderr(str(error))
        return EXIT_OK
    except GeneratorError as error:
        say_on_stderr(str(error))
        return EXIT_FAILED


def _security(options: argparse.Namespace, stop: StopSignal) -> int:
    def stream(plan: plans.Plan) -> EventStream:
        return SecurityStream(
            SecurityScenario(
                seed=options.seed,
                clock=plan.clock,
                users=options.users,
                anomaly_rate=options.anomaly_rate,
                follow_hours=plan.spans_days,
            )
        )

    sink = _sink(options.output, options.broker, options.topic, stop)
    return _generate(options, options.rate, sink, stream, stop)


def _transactions(options: argparse.Namespace, stop: StopSignal) -> int:
    env = settings.read(settings.TransactionSettings)
    rate = env.events_per_second if options.rate is None else options.rate

    def stream(plan: plans.Plan) -> EventStream:
        clock: BusinessClock | None = None
        if options.clock_span is not None and plan.spans_days:
            span_ms = round(options.clock_span * 1000)
            clock = BusinessClock(plan.clock.start_ms, span_ms, options.count)
        return TransactionStream(
            _SOURCES[env.fraud_mode](
                TransactionScenario(
                    seed=options.seed,
                    clock=clock or plan.clock,
                    fraud_rate=env.fraud_rate,
                    customers=env.num_customers,
                    products=env.num_products,
                    stores=env.num_stores,
                )
            )
        )

    broker = options.broker or env.kafka_bootstrap_servers
    sink = _sink(options.output, broker, options.topic or env.kafka_topic, stop)
    return _generate(options, rate, sink, stream, stop)


def _seed(options: argparse.Namespace, stop: StopSignal) -> int:
    env = settings.read(settings.SeedSettings)
    if env.spark_master:
        say_on_stderr(f"SPARK_MASTER={env.spark_master} has no effect: the seeder needs no Spark")
    span_ms, now_ms = env.date_range_days * DAY_MS, time.time_ns() // 1_000_000
    start_ms = now_ms - span_ms if options.start_time is None else options.start_time
    source = _SOURCES[env.fraud_mode](
        TransactionScenario(
            seed=options.seed,
            clock=BusinessClock(start_ms, span_ms, env.total_records),
            fraud_rate=env.fraud_rate,
            customers=env.num_customers,
            products=env.num_products,
            stores=env.num_stores,
            batch_id=f"seed-{options.seed}",
            written_ms=now_ms,
        )
    )
    started = time.monotonic()
    summary = write_table(source, env.total_records, env.delta_output_path)
    sys.stdout.write("\n".join(summary.lines()) + "\n")
    say_on_stderr(
        f"wrote {env.delta_output_path} in {time.monotonic() - started:.1f} s; seed {options.seed}"
    )
    if not env.seed_kafka:
        return EXIT_OK
    sink = KafkaSink(env.kafka_bootstrap_servers, env.kafka_batch_topic, stop, say_on_stderr)
    sink.open()
    limits = Limits(env.total_records, None)
    totals = run(
        TransactionStream(source), sink, Labels(None), Pacer(0), limits, stop, say_on_stderr
    )
    return _report(totals, sink, options.seed)


_COMMANDS: dict[str, Callable[[argparse.Namespace, StopSignal], int]] = {
    "security": _security,
    "transactions": _transactions,
    "seed": _seed,
}


def _sink(output: str | None, broker: str, topic: str, stop: StopSignal) -> Sink:
    if output is not None:
        return FileSink(output)
    return KafkaSink(broker, topic, stop, say_on_stderr)


def _generate(
    options: argparse.Namespace,
    rate: float,
    sink: Sink,
    stream: Callable[[plans.Plan], EventStream],
    stop: StopSignal,
) -> int:
    plans.plan(options, rate)  # refuses bad flags before anything is opened
    labels = Labels(options.labels)
    labels.open()
    try:
        sink.open()
        plan = plans.plan(options, rate)  # after waiting for a broker: event time starts now
        totals = run(stream(plan), sink, labels, Pacer(rate), plan.limits, stop, say_on_stderr)
    finally:
        labels.close()
    return _report(totals, sink, options.seed)


def _report(totals: Totals, sink: Sink, seed: int) -> int:
    delivery = totals.delivery
    speed = f" ({totals.events / totals.seconds:,.0f}/s)" if totals.seconds >= 1 else ""
    say_on_stderr(
        f"{totals.events:,} events, {totals.labelled:,} of them labelled,"
        f" in {totals.seconds:.1f} s{speed}; seed {seed}"
    )
    reason = f" ({delivery.reason})" if delivery.reason else ""
    say_on_stderr(
        f"{sink.name}: {delivery.acknowledged:,} acknowledged, {delivery.failed:,} failed{reason}"
    )
    return EXIT_FAILED if delivery.failed else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
