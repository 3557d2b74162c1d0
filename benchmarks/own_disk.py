"""A file system of one's own below a folder, which can be filled and given its room back."""

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

SIZE_BYTES = 8_000_000_000
"""A limit: memory is taken only for what is stored."""
_NAMESPACE = "STREAMGUARD_OWN_NAMESPACE"


def in_own_namespace() -> None:
    """Start this program again where a file system may be mounted, if the machine allows that.

    Returns when it runs there already, or cannot.
    """
    unshare = shutil.which("unshare")
    own = [unshare or "", "--user", "--map-root-user", "--mount"]
    if (
        os.environ.get(_NAMESPACE)
        or unshare is None
        or subprocess.run([*own, "true"], check=False).returncode
    ):
        return
    env = {**os.environ, _NAMESPACE: "1"}
    os.execve(unshare, [*own, sys.executable, *sys.argv], env)  # noqa: S606 - this very program


def mounted(folder: Path, stack: ExitStack) -> bool:
    """Make a folder, on a file system of its own if this process may; whether it is."""
    folder.mkdir(parents=True)
    if not os.environ.get(_NAMESPACE):
        return False
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "none", str(folder)]
    if subprocess.run(mount, check=False).returncode:
        return False
    stack.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=False)
    return True


def shrunk(folder: Path) -> bool:
    """Make the file system as small as what it holds; False if it has just grown past that."""
    room = os.statvfs(folder)
    return _resized(folder, (room.f_blocks - room.f_bfree) * room.f_frsize)


def roomy(folder: Path) -> bool:
    """Give the file system its room back."""
    return _resized(folder, SIZE_BYTES)


def _resized(folder: Path, size_bytes: int) -> bool:
    command = ["mount", "-o", f"remount,size={size_bytes}", str(folder)]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0
