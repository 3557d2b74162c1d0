"""What the command prints: results on standard output, everything else on standard error."""

import sys


def result(text: str) -> None:
    """Print what the operator asked for."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Tell the operator one line."""
    sys.stderr.write(f"streamguard: {text}\n")
    sys.stderr.flush()


def printable(text: str) -> str:
    r"""Return text of unknown origin without control characters, line breaks kept.

    Examples:
        >>> printable("a\x1b[2Jb")
        'a\\x1b[2Jb'
    """
    return "".join(
        each if each.isprintable() or each == "\n" else each.encode("unicode_escape").decode()
        for each in text
    )
