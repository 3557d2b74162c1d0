"""``make doctor``: is this machine, and the stack on it, fit to run; and if not, what to do."""

import shutil
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil
from rich.markup import escape
from rich.table import Table

from local_stack import kafka_admin
from local_stack.errors import BrokerError, StackError
from local_stack.jar_lock import JarSet, read_lock
from local_stack.java import find_java
from local_stack.ports import is_free, owner_of
from local_stack.settings import Settings
from local_stack.stack import Stack

OLDEST_PYTHON = (3, 11)
LEAST_MEMORY_GIB = 4
LEAST_DISK_GIB = 5
_GIB = 2**30
_BROKER_SECONDS = 5

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


class Verdict(StrEnum):
    """What a check found."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, what was found, and what to do if it is not well."""

    subject: str
    verdict: Verdict
    found: str
    remedy: str = ""


def examine(settings: Settings, stack: Stack | None) -> Iterator[Finding]:
    """Yield a finding per check; ``stack`` is None where there is no Java to describe one."""
    yield _python()
    yield _java(settings)
    yield from _jars(settings)
    yield _memory()
    yield _disk(settings.dir)
    if stack is not None:
        yield from _ports(settings, stack)
        yield from _services(stack)
    yield _broker(settings, is_expected=stack is not None and stack.is_running())
    yield from _stores(settings.dir / "speed")


def findings_table(findings: Sequence[Finding]) -> Table:
    """Return the findings as a table, remedies in a row of their own."""
    table = Table("check", "verdict", "found", box=None, pad_edge=False)
    for finding in findings:
        colour = _COLOURS[finding.verdict]
        table.add_row(finding.subject, f"[{colour}]{finding.verdict}[/]", escape(finding.found))
        if finding.remedy:
            table.add_row("", "", f"-> {escape(finding.remedy)}")
    return table


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return Finding("Python", Verdict.OK, version)
    needed = ".".join(map(str, OLDEST_PYTHON))
    remedy = "make setup PYTHON=python3.12"
    return Finding("Python", Verdict.FAILED, f"{version}, {needed} is needed", remedy)


def _java(settings: Settings) -> Finding:
    try:
        java = find_java(settings.tools_dir)
    except StackError as error:
        return Finding("Java", Verdict.FAILED, str(error), "make setup")
    return Finding("Java", Verdict.OK, f"{java.build} in {java.home}")


def _jars(settings: Settings) -> Iterator[Finding]:
    for jar_set in JarSet:
        folder = settings.tools_dir / "jars" / jar_set
        jars = read_lock(jar_set)
        missing = [jar.file_name for jar in jars if not (folder / jar.file_name).exists()]
        if missing:
            found = f"{len(missing)} of {len(jars)} are not in {folder}"
            yield Finding(f"jars for {jar_set}", Verdict.FAILED, found, "make setup")
        else:
            yield Finding(f"jars for {jar_set}", Verdict.OK, f"{len(jars)} in {folder}")


def _memory() -> Finding:
    available = psutil.virtual_memory().available / _GIB
    found = f"{available:.1f} GiB available"
    if available >= LEAST_MEMORY_GIB:
        return Finding("memory", Verdict.OK, found)
    remedy = (
        f"end something, or expect the stack to swap: it is at ease with {LEAST_MEMORY_GIB} GiB"
    )
    return Finding("memory", Verdict.WARNING, found, remedy)


def _disk(folder: Path) -> Finding:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free / _GIB
    found = f"{free:.1f} GiB free for {folder}"
    if free >= LEAST_DISK_GIB:
        return Finding("disk", Verdict.OK, found)
    remedy = "free some, or set STACK_DIR to a larger disk: services pause when it is full"
    return Finding("disk", Verdict.FAILED if free < 1 else Verdict.WARNING, found, remedy)


def _ports(settings: Settings, stack: Stack) -> Iterator[Finding]:
    if stack.is_running():
        return
    for service in stack.services:
        for variable, port in service.ports.items():
            if is_free(settings.host, port):
                continue
            owner = owner_of(port) or "another process"
            yield Finding(
                f"port {port}",
                Verdict.FAILED,
                f"taken by {owner}",
                f"end it, or set {variable} to another port",
            )


def _services(stack: Stack) -> Iterator[Finding]:
    if not stack.is_running():
        yield Finding("stack", Verdict.OK, "not running")
        return
    for service in stack.services:
        fault = service.is_ready()
        if fault is None:
            yield Finding(service.name, Verdict.OK, "ready")
        else:
            remedy = f"make logs service={service.name}"
            yield Finding(service.name, Verdict.FAILED, fault, remedy)


def _broker(settings: Settings, *, is_expected: bool) -> Finding:
    servers = settings.bootstrap_servers
    try:
        kafka_admin.wait_until_serving(servers, _BROKER_SECONDS if is_expected else 1, lambda: None)
    except BrokerError as error:
        if not is_expected:
            return Finding("broker", Verdict.OK, f"none at {servers}; make up starts one")
        return Finding("broker", Verdict.FAILED, str(error), "make logs service=kafka")
    return Finding("broker", Verdict.OK, f"answers at {servers}")


def _stores(folder: Path) -> Iterator[Finding]:
    """Read the layout and the detection version of each store of the speed layer."""
    for path in sorted(folder.glob("*/*.sqlite")):
        subject = f"store {path.parent.name}/{path.stem}"
        try:
            found = ", ".join(f"{name} {value}" for name, value in _versions(path))
        except sqlite3.Error as error:
            remedy = f"stop the speed layer and move {path} away: it is rebuilt from run and log"
            yield Finding(subject, Verdict.FAILED, str(error), remedy)
        else:
            yield Finding(subject, Verdict.OK, found)


def _versions(path: Path) -> Sequence[tuple[str, str]]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as store:
        rows = store.execute(
            "SELECT name, value FROM meta WHERE name IN ('layout', 'version') ORDER BY name"
        )
        return [(str(name), str(value)) for name, value in rows]
