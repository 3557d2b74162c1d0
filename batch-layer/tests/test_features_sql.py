"""The 28 features against an independent version of them in Spark SQL."""

import json

import numpy as np
import pyarrow as pa
import pytest

from contracts.decoder import decode
from contracts.topics import SECURITY_EVENTS, USER_EVENTS
from contracts.views import FEATURE_SCHEMA, FEATURES
from detection import Engine, user_features

pytestmark = pytest.mark.integration

QUERY = """
WITH numbered AS (
    SELECT *, hour(timestamp_millis(timestamp)) AS hour,
           event_type IN ('auth_attempt', 'USER_LOGIN', 'USER_LOGIN_FAILED') AS is_auth,
           abs(timestamp - lag(timestamp) OVER (
               PARTITION BY user, topic, partition ORDER BY offset)) / 1000D AS gap
    FROM events WHERE user <> 'unknown'
),
ips AS (
    SELECT user, avg(n) AS mean, coalesce(stddev_samp(n), 0) AS deviation, count_if(n = 1) AS rare
    FROM (SELECT user, source_ip, count(*) AS n FROM numbered
          WHERE source_ip IS NOT NULL GROUP BY user, source_ip) GROUP BY user
),
hours AS (
    SELECT user, coalesce(stddev_samp(n), 0) AS deviation, coalesce(var_samp(n), 0) AS variance
    FROM (SELECT user, hour, count(*) AS n FROM numbered GROUP BY user, hour) GROUP BY user
),
totals AS (
    SELECT user, min(timestamp) AS first_seen, max(timestamp) AS last_seen,
        count(*) AS total_events,
        count(DISTINCT source_ip) AS unique_ips,
        count(DISTINCT event_type) AS unique_event_types,
        coalesce(avg(threat_score), 0) AS avg_threat_score,
        coalesce(max(threat_score), 0) AS max_threat_score,
        count_if(status = 'failed') AS failed_events,
        count_if(hour <= 6) AS unusual_hour_events,
        count(DISTINCT geo_location) AS unique_locations,
        coalesce(try_divide(count_if(is_auth AND status = 'failed'), count_if(is_auth)), 0)
            AS failed_auth_rate,
        count(DISTINCT date(timestamp_millis(timestamp))) AS activity_days,
        count_if(is_auth) AS auth_attempt_count,
        count_if(event_type = 'network_connection') AS network_connection_count,
        count_if(event_type = 'file_access') AS file_access_count,
        count_if(event_type = 'process_execution') AS process_execution_count,
        count_if(event_type = 'dns_query') AS dns_query_count,
        coalesce(avg(gap), 0) AS avg_event_interval,
        coalesce(stddev_samp(gap), 0) AS event_interval_stddev,
        coalesce(min(gap), 0) AS min_event_interval,
        count_if(gap < 1) AS burst_events
    FROM numbered GROUP BY user
)
SELECT totals.*, unusual_hour_events / total_events AS unusual_hour_rate,
    unique_ips / total_events AS ip_diversity_score,
    total_events / activity_days AS events_per_day,
    hours.deviation AS hourly_stddev, hours.variance AS hourly_variance,
    coalesce(ips.mean, 0) AS avg_ip_frequency, coalesce(ips.deviation, 0) AS ip_frequency_stddev,
    coalesce(ips.rare, 0) AS rare_ip_count,
    coalesce(try_divide(ips.rare, unique_ips), 0) AS rare_ip_ratio
FROM totals JOIN hours USING (user) LEFT JOIN ips USING (user) ORDER BY user
"""


def security(number: int) -> bytes:
    rng = np.random.default_rng(number)
    kinds = ("auth_attempt", "network_connection", "file_access", "process_execution", "dns_query")
    event = {
        "event_id": f"evt_{number:012x}",
        # Out of order at times, so that intervals need their sign removed.
        "timestamp": 1_760_000_000_000 + number * 90_000 + int(rng.integers(-200_000, 200_000)),
        "event_type": kinds[rng.integers(5)],
        "source_ip": f"10.0.0.{rng.integers(number % 40 + 1)}",
        "user": f"user{rng.integers(6)}" if number % 50 else None,
        "status": "failed" if rng.random() < 0.2 else "success",
        "metadata": {"geo_location": f"DE-BE-{rng.integers(4)}"} if number % 3 else {},
    }
    if number % 4:
        event["threat_score"] = float(rng.random())
    if number % 7 == 0:
        del event["source_ip"]
    if number % 20 < 3:  # bursts
        event["timestamp"] = 1_760_000_000_000 + number // 20 * 1_800_000 + number % 20 * 400
    return json.dumps(event).encode()


def login(number: int) -> bytes:
    failed = "_FAILED" if number % 5 == 0 else ""
    event = {
        "userId": f"user{number % 3}",
        "eventType": f"USER_LOGIN{failed}" if number % 4 else "USER_SEARCH",
        "timestamp": f"2025-10-{number % 28 + 1:02}T{number % 24:02}:{number % 60:02}:00",
        "ipAddress": f"10.1.0.{number % 2}",
    }
    return json.dumps(event).encode()


def test_features_equal_spark_sql(spark):
    records = {
        (SECURITY_EVENTS, 0): [security(number) for number in range(0, 800, 2)],
        (SECURITY_EVENTS, 1): [security(number) for number in range(1, 800, 2)],
        (USER_EVENTS, 0): [login(number) for number in range(60)],
    }
    engines, tables = [], []
    wanted = ["event_type", "user", "timestamp", "status", "source_ip", "threat_score"]
    for (topic, partition), values in records.items():
        events = decode(topic, partition, list(range(len(values))), values).events
        engine = Engine(scorer="calibrated")
        # In two pieces, restored between them: features of an incremental run.
        engine.process(events[:150])
        engine = Engine.restore(engine.snapshot())
        engine.process(events[150:])
        engines.append(engine)
        columns = {name: events[name].cast(pa.float64() if name == "threat_score" else
                   pa.int64() if name == "timestamp" else pa.string()) for name in wanted}  # fmt: skip
        columns |= {
            "geo_location": events["geo_location"].cast(pa.string()),
            "topic": pa.array([topic] * len(events)),
            "partition": pa.array([partition] * len(events)),
            "offset": pa.array(range(len(events))),
        }
        tables.append(pa.table(columns))
    ours = user_features(engines)
    spark.createDataFrame(pa.concat_tables(tables)).createOrReplaceTempView("events")
    by_sql = spark.sql(QUERY).select(*FEATURE_SCHEMA.names).toArrow()

    assert ours.num_rows == 6
    for name in ("user", "first_seen", "last_seen"):
        assert by_sql[name].to_pylist() == ours[name].to_pylist()
    differences = {
        name: float(np.abs(by_sql[name].cast(pa.float64()).to_numpy()
                           - ours[name].cast(pa.float64()).to_numpy()).max())
        for name in FEATURES
    }  # fmt: skip
    print("feature_max_diff", max(differences.values()))  # noqa: T201 (shown by pytest -s)
    assert max(differences.values()) < 1e-6, differences
