from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from batch_layer.settings import Settings
from batch_layer.spark import create_session
from local_stack.testing import Broker

REPOSITORY = Path(__file__).resolve().parents[2]


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
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One real broker for the whole run: give each test its own topic names or its own lake."""
    with Broker(tmp_path_factory.mktemp("kafka")) as broker:
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
