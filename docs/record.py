"""Run the commands of a page's ``console`` blocks and write what they print below each.

    python docs/record.py docs/tutorial.md

Commands are the lines that begin with ``$``; they run from the repository's root, in order. A
command that fails stops the recording, and the page stays as it was.
"""

import re
import subprocess
import sys
from pathlib import Path

MOST_LINES = 40
_BLOCK = re.compile(r"(?<=```console\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)


def recorded(block: str) -> str:
    """Return a block with fresh output below each command.

    Raises:
        SystemExit: A command failed.
    """
    lines: list[str] = []
    for command in (line for line in block.splitlines() if line.startswith("$ ")):
        outcome = subprocess.run(
            ["bash", "-c", command[2:]],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        if outcome.returncode:
            sys.exit(f"{command}\n{outcome.stdout}{outcome.stderr}")
        printed = outcome.stdout.rstrip().splitlines()
        more = ["..."] if len(printed) > MOST_LINES else []
        lines += [command, *printed[:MOST_LINES], *more]
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        page.write_text(_BLOCK.sub(lambda found: recorded(found.group()), page.read_text()))
