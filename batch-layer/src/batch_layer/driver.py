"""Start Spark's driver JVM ourselves: at once, on a class archive, without a launcher before it.

pyspark would start a shell, which starts a Java launcher, which prints the command that starts
the driver; and it would start it only when the session is asked for. Here the JVM starts as soon as
the process knows its settings, and Python imports meanwhile. A class archive (AppCDS) spares
the JVM from parsing and verifying some fifteen thousand classes.
"""

import contextlib
import hashlib
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from batch_layer.errors import SettingsError
from batch_layer.spark import create_session, jar_paths, session_conf

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from batch_layer.settings import Settings

_START_TIMEOUT_SECONDS = 180
_EXIT_TIMEOUT_SECONDS = 120

_OPENED_PACKAGES = (
    "java.lang",
    "java.lang.invoke",
    "java.lang.reflect",
    "java.io",
    "java.net",
    "java.nio",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "jdk.internal.ref",
    "sun.nio.ch",
    "sun.nio.cs",
    "sun.security.action",
    "sun.util.calendar",
)


class DriverJvm:
    """A driver that pyspark connects to instead of starting its own.

    Args:
        conf: The session's configuration; memory and Java options are taken from it.
        jars: Jars beside Spark's own.
        archive_dir: Where class archives are kept; the first driver writes one when it ends.
        is_short: Compile with C1 only: starts faster, does bulk work at half the speed.
    """

    def __init__(
        self,
        conf: Mapping[str, str],
        jars: list[Path],
        archive_dir: Path,
        *,
        is_short: bool = False,
    ) -> None:
        class_path = [*jars, *_spark_jars()]
        java = _java()
        self._archive = archive_dir.resolve() / f"spark-{_digest(java, class_path)}.jsa"
        self._draft = self._archive.with_name(f"{self._archive.name}.{os.getpid()}")
        self.writes_archive = not self._archive.exists()
        self._folder = Path(tempfile.mkdtemp(prefix="batch-driver-"))
        self._connection = self._folder / "connection"
        command = [java, *self._options(conf, is_short), "-cp", ":".join(map(str, class_path))]
        command += ["org.apache.spark.deploy.SparkSubmit"]
        for name, value in conf.items():
            command += ["--conf", f"{name}={value}"]
        env = dict(os.environ)
        env |= {"_PYSPARK_DRIVER_CONN_INFO_PATH": str(self._connection), "SPARK_CONNECT_MODE": "0"}
        env.setdefault("PYSPARK_PYTHON", sys.executable)
        # The JVM ends when its standard input does: with us, however we end.
        self._process = subprocess.Popen(
            [*command, "pyspark-shell"], stdin=subprocess.PIPE, env=env, start_new_session=True
        )

    def connect(self) -> None:
        """Wait until the JVM listens, and tell pyspark where.

        Raises:
            SettingsError: If it ends, or does not listen in time.
        """
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while not self._connection.exists():
            if self._process.poll() is not None:
                raise SettingsError(
                    f"the Spark driver exited with {self._process.returncode}; its log says why"
                )
            if time.monotonic() > deadline:
                self.kill()
                raise SettingsError(f"the Spark driver is not up after {_START_TIMEOUT_SECONDS} s")
            time.sleep(0.02)  # the JVM can only leave a file: there is nothing to wait on
        content = self._connection.read_bytes()
        (port,) = struct.unpack_from(">i", content)
        (length,) = struct.unpack_from(">i", content, 4)
        os.environ["PYSPARK_GATEWAY_PORT"] = str(port)
        os.environ["PYSPARK_GATEWAY_SECRET"] = content[8 : 8 + length].decode()

    def close(self) -> None:
        """End the JVM once its session is stopped; keep the class archive it wrote."""
        for name in ("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET"):
            os.environ.pop(name, None)
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(_EXIT_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._draft.exists():
            self._draft.replace(self._archive)

    def kill(self) -> None:
        """End the JVM at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _options(self, conf: Mapping[str, str], is_short: bool) -> list[str]:
        options = [f"-Xmx{conf['spark.driver.memory']}", "-XX:-UsePerfData", "-Xshare:auto"]
        options += conf.get("spark.driver.extraJavaOptions", "").split()
        options += [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENED_PACKAGES]
        options += [
            "-Djdk.reflect.useDirectMethodHandle=false",
            "-Dio.netty.tryReflectionSetAccessible=true",
        ]
        if is_short:
            options.append("-XX:TieredStopAtLevel=1")
        if not self.writes_archive:
            options += [
                f"-XX:SharedArchiveFile={self._archive}",
                "-Xlog:cds=off",
                "-Xlog:cds+dynamic=off",
            ]
        elif is_short:
            self._archive.parent.mkdir(parents=True, exist_ok=True)
            options += [
                f"-XX:ArchiveClassesAtExit={self._draft}",
                "-Xlog:cds=off",
                "-Xlog:cds+dynamic=off",
            ]
        return options


@contextmanager
def driven_session(settings: "Settings") -> "Iterator[SparkSession]":
    """Hold a session on a driver that we start ourselves.

    Raises:
        SettingsError: If the jars or Java are missing, or the driver does not start.
    """
    conf = session_conf(settings)
    driver = DriverJvm(conf, jar_paths(settings.jars_dir), settings.archive_dir)
    try:
        driver.connect()
        session = create_session(settings, conf)
        try:
            yield session
        finally:
            session.stop()
    finally:
        driver.close()


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if java is None:
        raise SettingsError("no java in JAVA_HOME or PATH: Spark needs Java 17 or newer")
    return java


def _spark_jars() -> list[Path]:
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise SettingsError("pyspark is not installed")
    return sorted((Path(spec.origin).parent / "jars").glob("*.jar"))


def _digest(java: str, class_path: list[Path]) -> str:
    """Name this Java and these jars: an archive is valid for exactly them."""
    release = Path(java).resolve().parents[1] / "release"
    parts = [str(Path(java).resolve()), release.read_text() if release.exists() else ""]
    parts += [f"{jar}:{jar.stat().st_size}:{int(jar.stat().st_mtime)}" for jar in class_path]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
