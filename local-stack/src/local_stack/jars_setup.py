"""Make the jar folders equal to the lock, and say what is going on meanwhile."""

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from local_stack.jar_fetch import fetch, jars_to_fetch, remove_strays
from local_stack.jar_lock import Jar, JarSet, fault_of, read_lock
from local_stack.java import Java

_LINE_EVERY = 0.25


def set_up_jars(tools_dir: Path, java: Java, console: Console) -> None:
    """Fetch what is missing or damaged, and remove what the lock no longer names.

    Raises:
        JarError: a jar could not be had as the lock has it.
    """
    for jar_set in JarSet:
        jars = read_lock(jar_set)
        folder = tools_dir / "jars" / jar_set
        missing = jars_to_fetch(jars, folder)
        for jar in missing:
            if (fault := fault_of(jar, folder)) != "missing":
                console.print(f"{jar.file_name}: {fault}; it is fetched again")
        if missing:
            _fetch_with_progress(jar_set, missing, tools_dir, java, console)
        for name in remove_strays(jars, folder):
            console.print(f"removed {name}: the lock does not name it")
        console.print(f"jars for {jar_set}: {len(jars)} verified in {folder}")


def _fetch_with_progress(
    jar_set: JarSet, jars: list[Jar], tools_dir: Path, java: Java, console: Console
) -> None:
    total = sum(jar.size_bytes for jar in jars)
    title = f"{len(jars)} jars for {jar_set}"
    if not console.is_terminal:
        console.print(f"downloading {title}: {total / 1e6:.0f} MB")
        fetch(jar_set, jars, tools_dir, java, _LinePrinter(console, title, total))
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), console=console) as progress:
        task = progress.add_task(title, total=total)
        fetch(jar_set, jars, tools_dir, java, lambda done: progress.update(task, completed=done))


class _LinePrinter:
    """Progress for logs: one plain line at each quarter of the way."""

    def __init__(self, console: Console, title: str, total_bytes: int) -> None:
        self._console = console
        self._title = title
        self._total_bytes = total_bytes
        self._next_share = _LINE_EVERY

    def __call__(self, done_bytes: int) -> None:
        share = done_bytes / self._total_bytes
        if share < self._next_share:
            return
        self._console.print(
            f"{self._title}: {min(share, 1):.0%} ({done_bytes / 1e6:.0f} MB)", highlight=False
        )
        while share >= self._next_share:
            self._next_share += _LINE_EVERY
