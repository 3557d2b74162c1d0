"""``streamguard VERB``: flags to verbs, errors to one line and an exit code."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from streamguard_cli import (
    alerts,
    ask,
    completion,
    dead_letters,
    doctor,
    events,
    ingest,
    rules,
    runs,
    state,
    users,
)
from streamguard_cli.errors import CommandError
from streamguard_cli.output import say

VERBS = (
    events,
    alerts,
    users,
    runs,
    state,
    ask,
    ingest,
    dead_letters,
    rules,
    doctor,
    completion,
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    parser = argparse.ArgumentParser(prog="streamguard", description="Work with StreamGuard.")
    parser.add_argument("--version", action="version", version=version("streamguard-cli"))
    commands = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in VERBS:
        verb.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code: 0 done, 1 failed, 2 a flag is wrong."""
    options = build_parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except CommandError as error:
        say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 0  # how a person ends --follow
    except BrokenPipeError:
        # The reader has left (`| head`): what is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
