"""``streamguard VERB``: flags to verbs, errors to one line and an exit code."""

import argparse
import sys
from collections.abc import Callable, Sequence

from streamguard_cli import ask, ingest, rules
from streamguard_cli.errors import CommandError
from streamguard_cli.output import say


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    parser = argparse.ArgumentParser(prog="streamguard", description="Work with StreamGuard.")
    commands = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in (ingest, rules, ask):
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


if __name__ == "__main__":
    sys.exit(main())
