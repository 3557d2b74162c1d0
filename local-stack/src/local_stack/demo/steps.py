"""Say what is going on, and wait for it with a deadline."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from local_stack.errors import DemoError

_POLL_SECONDS = 0.5

Say = Callable[[str], None]


class Steps:
    """Prints each step with the time it took; between, what it is waiting for."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, title: str) -> Iterator[Say]:
        """Run a step; the function it gives says how far the step is."""
        started = time.monotonic()
        if self._console.is_terminal:
            with self._console.status(title) as status:
                yield lambda text: status.update(f"{title}: {text}")
        else:
            yield self._plain(title)
        elapsed = time.monotonic() - started
        self._console.print(f"- {title} ({elapsed:.1f} s)", highlight=False, markup=False)

    def _plain(self, title: str) -> Say:
        said = ""

        def say(text: str) -> None:
            nonlocal said
            if text != said:
                self._console.print(f"  {title}: {text}", highlight=False, markup=False)
                said = text

        return say


def wait_until(check: Callable[[], bool], what: str, timeout_seconds: float) -> None:
    """Return when ``check`` holds.

    Raises:
        DemoError: it did not in time; the message says what never came.
    """
    deadline = time.monotonic() + timeout_seconds
    while not check():
        if time.monotonic() > deadline:
            raise DemoError(f"after {timeout_seconds:.0f} s still not: {what}")
        time.sleep(_POLL_SECONDS)  # the services are asked over HTTP: they do not call back
