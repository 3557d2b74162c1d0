"""Which jars the stack runs on, by coordinates, checksum and size."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from pathlib import Path

from local_stack.errors import JarError


class JarSet(StrEnum):
    """A lock file and the folder its jars are kept in."""

    KAFKA = "kafka"
    SPARK = "spark"


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of a lock file."""

    group: str
    artifact: str
    version: str
    sha256: str
    size_bytes: int

    @property
    def file_name(self) -> str:
        """Name on disk, as every Maven client writes it."""
        return f"{self.artifact}-{self.version}.jar"

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


def read_lock(jar_set: JarSet) -> list[Jar]:
    """Return the jars of one set, in the order of its lock file."""
    text = files("local_stack.jars").joinpath(f"{jar_set}.lock").read_text(encoding="utf-8")
    return parse_lock(text)


def parse_lock(text: str) -> list[Jar]:
    """Read lock lines ``group:artifact:version sha256 size``; ``#`` starts a comment line.

    Raises:
        JarError: a line does not have that form.
    """
    jars = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            coordinates, sha256, size = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(group, artifact, version, sha256, int(size)))
        except ValueError as error:
            raise JarError(f"jar lock, line {number}: cannot read {line!r}") from error
    return jars


def lock_digest(jars: Iterable[Jar]) -> str:
    """Return a short name for a set of jars: it changes when any jar does."""
    joined = "\n".join(sorted(f"{jar} {jar.sha256}" for jar in jars))
    return hashlib.sha256(joined.encode()).hexdigest()[:12]


def fault_of(jar: Jar, folder: Path) -> str | None:
    """Say what is wrong with a jar on disk, or return None if it is the one in the lock."""
    path = folder / jar.file_name
    if not path.is_file():
        return "missing"
    size = path.stat().st_size
    if size != jar.size_bytes:
        return f"{size} bytes instead of {jar.size_bytes}"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    return None if found == jar.sha256 else f"sha256 is {found}, the lock says {jar.sha256}"
