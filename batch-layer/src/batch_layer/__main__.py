"""``python -m batch_layer serve | security-run | ingest | table | schedule``.

Commands import what they need when they know what they do: a bounded run starts its JVM first and
imports meanwhile.
"""

import sys

from batch_layer.arguments import parse_arguments


def main() -> int:
    """Run the command that was asked for; return the exit code."""
    arguments = parse_arguments(sys.argv[1:])
    if arguments.command == "serve":
        from batch_layer.server import serve

        return serve()
    from batch_layer import commands

    return commands.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
