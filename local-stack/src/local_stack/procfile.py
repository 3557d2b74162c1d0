"""Read the Procfile: which services there are, in which order, and the command of each."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from honcho.environ import parse_procfile

from local_stack.errors import ServiceError


def read_procfile(path: Path) -> Mapping[str, list[str]]:
    """Return the command of each service, in the order of the file.

    Commands run without a shell, so that a signal to a service reaches the service itself;
    ``python`` means the interpreter that runs this.

    Raises:
        ServiceError: the file is missing, empty, or has a command that cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ServiceError(f"no Procfile at {path}: {error.strerror}") from error
    commands = {}
    for name, line in parse_procfile(text).processes.items():
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise ServiceError(f"Procfile: {name}: {error}") from error
        commands[name] = [sys.executable, *words[1:]] if words[0] == "python" else words
    if not commands:
        raise ServiceError(f"{path} names no service")
    return commands
