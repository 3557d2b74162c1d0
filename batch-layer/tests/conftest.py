import json
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from deltalake import DeltaTable, QueryBuilder
from pyspark.sql import SparkSession

from batch_layer.settings import Settings
from batch_layer.spark import create_session
from contracts.topics import MAX_MESSAGE_BYTES
from local_stack.secure_testing import SecureListener, secure_listener
from local_stack.testing import Broker

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session", autouse=True)
def _jvms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Options of every JVM the tests start, and where a killed one leaves its temporary files."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        # Compiled twice, code that runs for a minute over a few hundred rows costs half as much again.
        options = f"-XX:TieredStopAtLevel=1 -Djava.io.tmpdir={folder}"
        patch.setenv("JAVA_TOOL_OPTIONS", options)
        yield


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One local Spark for the whole run."""
    settings = Settings(
        spark_master="local[2]",
        jars_dir=REPOSITORY / ".tools/jars/spark",
        data_dir=tmp_path_factory.mktemp("spark"),
        shuffle_partitions=2,
    )
    session = create_session(settings)
    yield session
    session.stop()


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> SecureListener:
    """The broker's listener with TLS and a login."""
    return secure_listener(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory, secured: SecureListener) -> Iterator[Broker]:
    """One real broker for the whole run: give each test its own topic names or its own lake."""
    folder = tmp_path_factory.mktemp("kafka")
    listeners = {"SASL_SSL": secured.port}
    with Broker(folder, listeners=listeners, properties=secured.properties) as broker:
        yield broker


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of one test: its own lake and registries, nothing scheduled."""
    return Settings(
        lake_dir=tmp_path / "lake",
        data_dir=tmp_path / "batch",
        jars_dir=REPOSITORY / ".tools/jars/spark",
        archive_dir=tmp_path / "cds",
        schedule_minutes=0,
        maintenance_minutes=0,
    )


@pytest.fixture
def lend(spark: SparkSession):
    """A session factory for ``create_app`` that keeps the shared session running."""
    return lambda settings: nullcontext(spark)


def security_event(number: int, user: str, **changes: object) -> bytes:
    """One readable event; ``changes`` override or add keys."""
    kinds = ("auth_attempt", "network_connection", "file_access", "dns_query")
    event: dict[str, object] = {
        "event_id": f"evt_{number:012x}",
        "timestamp": 1_760_000_000_000 + number * 7_000,
        "event_type": kinds[number % 4],
        "source_ip": f"10.0.{number % 3}.{len(user)}",
        "user": user,
        "status": "failed" if number % 17 == 0 else "success",
        "threat_score": round(number % 10 / 10, 1),
        "metadata": {"geo_location": f"DE-BE-{number % 2}", "port": 443, "hostname": "host-1"},
    }
    return json.dumps(event | changes).encode()


class Topics:
    """Creates topics on the broker and writes to chosen partitions."""

    def __init__(self, broker: Broker) -> None:
        self.bootstrap_servers = broker.bootstrap_servers
        self._broker = broker
        self._transactions: list[Producer] = []
        self._producer = Producer(
            {"bootstrap.servers": broker.bootstrap_servers, "message.max.bytes": MAX_MESSAGE_BYTES}
        )

    def create(self, name: str, partitions: int = 1) -> None:
        self._broker.create_topic(name, partitions, {"max.message.bytes": str(MAX_MESSAGE_BYTES)})

    def produce(self, topic: str, values: list[bytes | None], partition: int = 0) -> None:
        for value in values:
            self._producer.produce(topic, value, partition=partition)
            self._producer.poll(0)
        assert self._producer.flush(60) == 0

    def commit(self, topic: str, values: list[bytes], partition: int = 0) -> None:
        self.begin(topic, values, partition).commit_transaction(60)

    def abort(self, topic: str, values: list[bytes], partition: int = 0) -> None:
        self.begin(topic, values, partition).abort_transaction(60)

    def delete_before(self, topic: str, offset: int, partition: int = 0) -> None:
        """Do what retention does."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        where = TopicPartition(topic, partition, offset)
        for future in admin.delete_records([where]).values():
            future.result(60)

    def begin(self, topic: str, values: list[bytes], partition: int = 0) -> Producer:
        """Write within a transaction and leave it open."""
        producer = Producer(
            {"bootstrap.servers": self.bootstrap_servers, "transactional.id": uuid.uuid4().hex}
        )
        producer.init_transactions(60)
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value, partition=partition)
        assert producer.flush(60) == 0
        self._transactions.append(producer)
        return producer

    def delete_all(self) -> None:
        """Delete every topic but the broker's own."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})

        def names() -> list[str]:
            return [name for name in admin.list_topics(timeout=60).topics if name[:2] != "__"]

        if found := names():
            for future in admin.delete_topics(found).values():
                future.result(60)
        deadline = time.monotonic() + 60
        while left := names():
            assert time.monotonic() < deadline, f"not deleted: {left}"
            time.sleep(0.05)  # polled with a deadline

    def close(self) -> None:
        """End open transactions: the broker would do so later, in the next test's topics."""
        for producer in self._transactions:
            with suppress(KafkaException):  # ended already
                producer.abort_transaction(60)


@pytest.fixture(scope="session")
def empty_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One broker for every test that reads topics of fixed names; `topics` empties it."""
    with Broker(tmp_path_factory.mktemp("empty-kafka")) as broker:
        yield broker


@pytest.fixture
def topics(empty_broker: Broker) -> Iterator[Topics]:
    """A broker without topics: those that detection reads have fixed names."""
    topics = Topics(empty_broker)
    topics.delete_all()
    yield topics
    topics.close()


@pytest.fixture
def event() -> Callable[..., bytes]:
    """How tests make events."""
    return security_event


@pytest.fixture
def read_elsewhere(spark: SparkSession) -> Callable[[Path, str], list]:
    """Read a column of a Delta table with Spark, DuckDB, pyarrow and deltalake; all must agree."""

    def read(path: Path, column: str) -> list:
        table = DeltaTable(str(path))
        files = table.file_uris()
        query = f'SELECT "{column}" FROM read_parquet(?, hive_partitioning = true)'
        by = {
            "spark": [row[0] for row in spark.read.format("delta").load(str(path))
                      .select(column).collect()],
            "duckdb": [row[0] for row in duckdb.execute(query, [files]).fetchall()],
            "pyarrow": table.to_pyarrow_dataset().to_table([column])[column].to_pylist(),
            "deltalake": pa.table(QueryBuilder().register("t", table)
                                  .execute(f'SELECT "{column}" FROM t'))[column].to_pylist(),
        }  # fmt: skip
        found = {reader: sorted(values) for reader, values in by.items()}
        assert all(values == found["spark"] for values in found.values()), found
        return found["spark"]

    return read
