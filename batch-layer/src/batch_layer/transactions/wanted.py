"""Which topic is to be streamed, kept over restarts of the service."""

import os
from pathlib import Path


class WantedStream:
    """A file that holds the topic from start to stop of the stream."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def topic(self) -> str | None:
        """Return the topic that was being streamed, None if the stream was stopped."""
        try:
            return self._path.read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    def keep(self, topic: str) -> None:
        """Remember a topic; a crash leaves the old content or the new."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        draft.write_text(f"{topic}\n", encoding="utf-8")
        draft.replace(self._path)

    def forget(self) -> None:
        """Forget the topic: the stream was stopped."""
        self._path.unlink(missing_ok=True)
