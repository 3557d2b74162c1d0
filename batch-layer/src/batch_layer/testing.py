"""A batch layer as a real process, for tests, benchmarks and the walk through its API."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

T = TypeVar("T")

_START_SECONDS = 240.0
_REPOSITORY = Path(__file__).resolve().parents[3]


def wait_for(what: str, probe: Callable[[], T | None], timeout_seconds: float = 180) -> T:
    """Return the first true answer of ``probe``.

    Raises:
        TimeoutError: It never came; says what was waited for.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        if answer := probe():
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_seconds:.0f} s in vain for {what}")
        time.sleep(0.1)  # polling is what this function is for


class BatchProcess:
    """``python -m batch_layer serve`` on a free port, with lake and data under a folder.

    Attributes:
        url: Where the control API listens.
        lake: Root of its lake.
    """

    def __init__(self, path: Path, settings: Mapping[str, str]) -> None:
        self.lake, self.log_file = path / "lake", path / "batch-layer.log"
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._env = {
            **os.environ,
            "BATCH_PORT": str(port),
            "BATCH_LAKE_DIR": str(self.lake),
            "BATCH_DATA_DIR": str(path / "batch"),
            "BATCH_JARS_DIR": str(_REPOSITORY / ".tools/jars/spark"),
            "BATCH_ARCHIVE_DIR": str(_REPOSITORY / ".tools/cds"),
            "BATCH_SCHEDULE_MINUTES": "0",
            "BATCH_MAINTENANCE_MINUTES": "0",
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "batch_layer", "serve"],
                env=self._env,
                cwd=self.log_file.parent,
                stdout=log,
                stderr=log,
            )
        try:
            wait_for("a healthy batch layer", self._is_healthy, _START_SECONDS)
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(120)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it with SIGKILL; its JVM notices and ends too."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return status and JSON of a call; text if it is not JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 (our own address)
            self.url + path, data, {"content-type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read()
        try:
            return status, json.loads(content)
        except ValueError:
            return status, content.decode()

    def get(self, path: str) -> Any:  # noqa: ANN401 (JSON)
        """Return the JSON of a call that succeeds.

        Raises:
            AssertionError: It did not.
        """
        return self._answer("GET", path, None)

    def post(self, path: str, body: object = None) -> Any:  # noqa: ANN401 (JSON)
        """Return the JSON of a call that succeeds.

        Raises:
            AssertionError: It did not.
        """
        return self._answer("POST", path, body)

    def batch(self, body: Mapping[str, object], timeout_seconds: float = 600) -> dict[str, Any]:
        """Run a batch; return its record when it has ended."""
        return self.finished(self.post("/batch/run", body)["batchId"], timeout_seconds)

    def finished(self, batch_id: str, timeout_seconds: float = 600) -> dict[str, Any]:
        """Return a batch's record when it has ended."""

        def ended() -> dict[str, Any] | None:
            record: dict[str, Any] = self.get(f"/batch/status/{batch_id}")
            return record if record["status"] not in ("PENDING", "RUNNING") else None

        return wait_for(f"the end of {batch_id}", ended, timeout_seconds)

    def _answer(self, method: str, path: str, body: object) -> Any:  # noqa: ANN401 (JSON)
        status, answer = self.request(method, path, body)
        if status >= 400:
            raise AssertionError(f"{method} {path}: {status} {answer}")
        return answer

    def _is_healthy(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"the batch layer ended: {self.log_file.read_text()[-2000:]}")
        with contextlib.suppress(OSError):
            return self.request("GET", "/health")[0] == 200
        return False


class StandaloneCluster:
    """Spark's own cluster manager on 127.0.0.1: one master and some workers, as processes.

    Attributes:
        master: What ``SPARK_MASTER`` has to be.
    """

    def __init__(self, path: Path, workers: int = 2) -> None:
        self._path, self._workers = path, workers
        port, self._ui_port = _free_port(), _free_port()
        self.master = f"spark://127.0.0.1:{port}"
        self._master_options = ["--port", str(port), "--webui-port", str(self._ui_port)]
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self._start("master.Master", *self._master_options)
            for number in range(self._workers):
                folder = self._path / f"worker-{number}"
                self._start(
                    "worker.Worker", "--cores", "1", "--memory", "1g", "--webui-port", "0",
                    "--work-dir", str(folder), self.master,
                )  # fmt: skip
            wait_for("the workers to register", self._is_whole)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            process.wait(60)

    def state(self) -> dict[str, Any]:
        """Return what the master says of itself: workers, applications, cores."""
        address = f"http://127.0.0.1:{self._ui_port}/json/"
        with urllib.request.urlopen(address, timeout=10) as answer:
            state: dict[str, Any] = json.load(answer)
        return state

    def _start(self, role: str, *options: str) -> None:
        import pyspark

        # The script ends by becoming the JVM, so this process is the JVM.
        script = Path(pyspark.__file__).parent / "bin" / "spark-class"
        command = [str(script), f"org.apache.spark.deploy.{role}", "--host", "127.0.0.1", *options]
        env = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
        with (self._path / "cluster.log").open("ab") as log:
            self._processes.append(subprocess.Popen(command, env=env, stdout=log, stderr=log))

    def _is_whole(self) -> bool:
        with contextlib.suppress(OSError):
            return int(self.state()["aliveworkers"]) == self._workers
        return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
