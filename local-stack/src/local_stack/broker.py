"""One Apache Kafka node (KRaft, broker and controller in one) as an ordinary process.

``make up`` and the tests start the same broker: they differ in ports and folders only.
"""

import fcntl
import os
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local_stack.errors import BrokerError
from local_stack.jar_lock import JarSet, lock_digest, read_lock
from local_stack.java import Java

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
_FORMAT_TIMEOUT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class BrokerSpec:
    """Where a broker listens, where it keeps its data, and what it runs on."""

    data_dir: Path
    tools_dir: Path
    java: Java
    port: int
    controller_port: int
    host: str = "127.0.0.1"
    heap_mib: int = 256
    listeners: Mapping[str, int] = field(default_factory=dict)
    """Ports of further listeners by security protocol, such as ``SASL_SSL``."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Properties to set or replace, such as what those listeners need."""

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect."""
        return f"{self.host}:{self.port}"

    @property
    def properties_file(self) -> Path:
        """The broker's configuration, written anew before each start."""
        return self.data_dir / "server.properties"


def server_properties(spec: BrokerSpec) -> str:
    """Write the broker's configuration.

    The controller's address stands in ``controller.quorum.voters``, not in the formatted data,
    so that a stack may change its ports and keep its topics.
    """
    clients = {"PLAINTEXT": spec.port, **spec.listeners}
    addresses = [f"{name}://{spec.host}:{port}" for name, port in clients.items()]
    properties: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{spec.host}:{spec.controller_port}",
        "listeners": ",".join([*addresses, f"CONTROLLER://{spec.host}:{spec.controller_port}"]),
        "advertised.listeners": ",".join(addresses),
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": ",".join(
            [*(f"{name}:{name}" for name in clients), "CONTROLLER:PLAINTEXT"]
        ),
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": spec.data_dir / "log",
        # One node: nothing can be replicated.
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "offsets.topic.num.partitions": 1,
        "transaction.state.log.num.partitions": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        # A misspelt topic must be an error, not a new topic.
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": 0,
        "message.max.bytes": MAX_MESSAGE_BYTES,
        "replica.fetch.max.bytes": MAX_MESSAGE_BYTES,
        # With the default of 128 MiB the broker dies at start on a small heap.
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
        # After kill -9 the controller waits until the former self of the broker has expired.
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        "num.network.threads": 2,
        "num.io.threads": 4,
    }
    properties |= spec.properties
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def archive_file(tools_dir: Path, java: Java) -> Path:
    """Return where the class archive for this Java and these jars is kept."""
    build = "".join(character if character.isalnum() else "-" for character in java.build)
    return tools_dir / "cds" / f"kafka-{lock_digest(read_lock(JarSet.KAFKA))}-{build}.jsa"


def java_command(
    spec: BrokerSpec, main: Sequence[str], archive_to: Path | None = None
) -> list[str]:
    """Return the command that runs a class of the broker's jars.

    C1 alone and the class archive halve the start; a broker this small never needs C2.
    With ``archive_to`` the process writes such an archive when it exits.

    Raises:
        BrokerError: the jars are not there.
    """
    jars_dir = (spec.tools_dir / "jars" / JarSet.KAFKA).resolve()
    jars = [jars_dir / jar.file_name for jar in read_lock(JarSet.KAFKA)]
    if missing := [path.name for path in jars if not path.exists()]:
        raise BrokerError(f"{missing[0]} is not in {jars_dir}: run `make setup`")
    command = [str(spec.java.executable), "-Xms64m", f"-Xmx{spec.heap_mib}m"]
    command += ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.net.preferIPv4Stack=true"]
    command += ["-Djava.awt.headless=true", "-Dlog4j2.level=WARN", "-Xlog:disable"]
    archive = archive_file(spec.tools_dir.resolve(), spec.java)
    if archive_to is not None:
        command.append(f"-XX:ArchiveClassesAtExit={archive_to}")
    elif archive.exists():
        command.append(f"-XX:SharedArchiveFile={archive}")
    # Explicit and in the lock's order: the archive is valid for exactly this class path.
    return [*command, "-cp", ":".join(map(str, jars)), *main]


def claim_data(spec: BrokerSpec) -> int:
    """Lock the data folder and return the descriptor that holds the lock.

    The descriptor is handed down to the broker, so the lock lasts exactly as long as the broker
    does. Kafka's own lock comes too late: two brokers on one folder destroy its metadata.

    Raises:
        BrokerError: another broker runs on this folder.
    """
    spec.data_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(spec.data_dir / "in-use", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise BrokerError(f"another broker runs on {spec.data_dir}") from error
    return descriptor


def prepare(spec: BrokerSpec) -> None:
    """Write the configuration, and format the storage if it is new; claim the data first.

    Raises:
        BrokerError: the storage cannot be formatted.
    """
    spec.properties_file.write_text(server_properties(spec), encoding="utf-8")
    if (spec.data_dir / "log" / "meta.properties").exists():
        return
    cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    # With "=", since an id may begin with a hyphen, which would be read as another option.
    arguments = ["format", f"--cluster-id={cluster_id}", "--config", str(spec.properties_file)]
    command = java_command(spec, ["kafka.tools.StorageTool", *arguments])
    try:
        subprocess.run(
            command, capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_SECONDS, check=True
        )
    except subprocess.CalledProcessError as error:
        raise BrokerError(
            f"the broker's storage {spec.data_dir} cannot be formatted: "
            f"{(error.stdout + error.stderr).strip()[-500:]}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise BrokerError(
            f"formatting {spec.data_dir} took more than {_FORMAT_TIMEOUT_SECONDS} s"
        ) from error


def start_command(spec: BrokerSpec, archive_to: Path | None = None) -> list[str]:
    """Return the command that runs the broker in the foreground."""
    return java_command(spec, ["kafka.Kafka", str(spec.properties_file)], archive_to)
