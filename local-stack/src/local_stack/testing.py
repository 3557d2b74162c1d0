"""A real Kafka broker for tests.

>>> with Broker(tmp_path) as broker:                              # doctest: +SKIP
...     broker.create_topic("security-events", partitions=3)
...     Producer({"bootstrap.servers": broker.bootstrap_servers})
"""

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from local_stack import broker, kafka_admin
from local_stack.errors import BrokerError
from local_stack.java import find_java
from local_stack.ports import free_port

_REPOSITORY = Path(__file__).resolve().parents[3]
_STOP_TIMEOUT_SECONDS = 60
_LAST_LOG_CHARACTERS = 2000


class Broker:
    """One KRaft node on free ports of 127.0.0.1, with its data under a folder of the test.

    Ports and data stay the same over ``stop``, ``kill`` and ``start``. Topics are not created
    by use: call ``create_topic``. ``listeners`` and ``properties`` are those of ``BrokerSpec``.
    """

    def __init__(
        self,
        path: Path,
        *,
        tools_dir: Path = _REPOSITORY / ".tools",
        start_timeout_seconds: float = 180,
        listeners: Mapping[str, int] | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        self._start_timeout_seconds = start_timeout_seconds
        self._log_file = path / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None
        port = free_port()
        controller_port = port
        while controller_port == port:
            controller_port = free_port()
        self._spec = broker.BrokerSpec(
            data_dir=path / "broker",
            tools_dir=tools_dir,
            java=find_java(tools_dir),
            port=port,
            controller_port=controller_port,
            listeners=listeners or {},
            properties=properties or {},
        )

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect."""
        return self._spec.bootstrap_servers

    @property
    def pid(self) -> int | None:
        """Process id while the broker runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start, and return when the broker answers.

        Raises:
            BrokerError: it exited or did not answer in time; the message ends with its log.
        """
        if self._process is not None:
            raise BrokerError("the broker is running already")
        claim = broker.claim_data(self._spec)
        try:
            broker.prepare(self._spec)
            with self._log_file.open("ab") as log:
                self._process = subprocess.Popen(
                    broker.start_command(self._spec),
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    pass_fds=[claim],
                )
        finally:
            os.close(claim)
        try:
            kafka_admin.wait_until_serving(
                self.bootstrap_servers, self._start_timeout_seconds, self._check_alive
            )
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop cleanly (SIGTERM); does nothing when the broker is not running."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End the process at once (SIGKILL), as a power cut would."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None

    def create_topic(
        self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        """Create a topic and wait until it can be written to.

        Raises:
            BrokerError: the broker refused it, or it exists with another number of partitions.
        """
        kafka_admin.create_topic(self.bootstrap_servers, name, partitions, config)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _check_alive(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            text = self._log_file.read_text(encoding="utf-8", errors="replace")
            raise BrokerError(
                f"the broker exited with {self._process.returncode}: {text[-_LAST_LOG_CHARACTERS:]}"
            )
