"""``streamguard doctor``: is this machine, and the stack on it, fit to run?

The checks are the local stack's (``python -m local_stack doctor``), run as a process of their own:
the command itself needs none of it.
"""

import argparse
import importlib.util
import subprocess
import sys

from streamguard_cli.errors import CommandError


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the verb."""
    doctor = commands.add_parser(
        "doctor", help="check this checkout's Python, Java, ports, disk, broker and stores"
    )
    doctor.set_defaults(run=run_doctor)


def run_doctor(_: argparse.Namespace) -> int:
    """Print each check with what to do; 0 when nothing failed.

    Raises:
        CommandError: If the local stack is not installed beside the command.
    """
    if importlib.util.find_spec("local_stack") is None:
        raise CommandError(
            "the local stack is not installed here: `streamguard status` asks a running system"
        )
    return subprocess.run([sys.executable, "-m", "local_stack", "doctor"], check=False).returncode
