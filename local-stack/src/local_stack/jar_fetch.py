"""Bring the locked jars to disk through Ivy, which comes inside the pyspark wheel.

Every jar is named in the lock, so nothing is resolved here; Ivy only knows how to download.
Jars are collected beside their final folder, verified, and only then moved in, so a folder
holds verified jars only. What Ivy has downloaded stays in its own cache until a set is
complete, so a broken connection costs the file it hit and not those before it.
"""

import importlib.util
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

from local_stack.errors import JarError
from local_stack.jar_lock import Jar, JarSet, fault_of
from local_stack.java import Java

_POLL_SECONDS = 0.25
_IVY_SETTINGS = """<ivysettings>
  <settings defaultResolver="central"/>
  <resolvers><ibiblio name="central" m2compatible="true"/></resolvers>
</ivysettings>
"""

Progress = Callable[[int], None]
"""Called with the bytes that have arrived so far."""


def jars_to_fetch(jars: Sequence[Jar], folder: Path) -> list[Jar]:
    """Return the jars that are missing from a folder, or damaged in it."""
    return [jar for jar in jars if fault_of(jar, folder) is not None]


def remove_strays(jars: Sequence[Jar], folder: Path) -> list[str]:
    """Delete the jars that the lock does not name (left from an older one); return their names."""
    names = {jar.file_name for jar in jars}
    strays = [path for path in folder.glob("*.jar") if path.name not in names]
    for path in strays:
        path.unlink()
    return [path.name for path in strays]


def fetch(
    jar_set: JarSet, jars: Sequence[Jar], tools_dir: Path, java: Java, on_progress: Progress
) -> None:
    """Download ``jars`` into ``tools_dir/jars/<jar_set>``, each verified against the lock.

    Raises:
        JarError: there is no network, a jar is not served, or its bytes are not the locked ones.
    """
    work = tools_dir / "ivy" / jar_set
    arrived = work / "arrived"
    shutil.rmtree(arrived, ignore_errors=True)
    arrived.mkdir(parents=True)
    _run_ivy(jars, work, arrived, java, on_progress)
    for jar in jars:
        if fault := fault_of(jar, arrived):
            # Ivy would serve the same bytes from its cache for ever.
            shutil.rmtree(work)
            raise JarError(
                f"{jar}: {fault}; nothing was installed. Run `make setup` again; if it persists, "
                "what the network serves is not what the lock was made from"
            )
    folder = tools_dir / "jars" / jar_set
    folder.mkdir(parents=True, exist_ok=True)
    for jar in jars:
        (arrived / jar.file_name).replace(folder / jar.file_name)
    shutil.rmtree(work)


def _run_ivy(
    jars: Sequence[Jar], work: Path, arrived: Path, java: Java, on_progress: Progress
) -> None:
    settings, module, log = work / "settings.xml", work / "ivy.xml", work / "ivy.log"
    settings.write_text(_IVY_SETTINGS, encoding="utf-8")
    module.write_text(ivy_module(jars), encoding="utf-8")
    cache = work / "cache"
    command = [str(java.executable), "-XX:TieredStopAtLevel=1", "-jar", str(_ivy_jar())]
    command += ["-settings", str(settings), "-cache", str(cache), "-ivy", str(module)]
    command += ["-types", "jar", "bundle", "-warn"]
    command += ["-retrieve", str(arrived / "[artifact]-[revision](-[classifier]).[ext]")]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as ivy:
        try:
            while ivy.poll() is None:
                on_progress(_bytes_in(cache))
                # Ivy reports no progress of its own; the growing files are the only sign of it.
                time.sleep(_POLL_SECONDS)
        except BaseException:
            ivy.kill()
            raise
    on_progress(_bytes_in(cache))
    if ivy.returncode != 0:
        raise JarError(f"the jars could not be downloaded: {_reason(log)}")


def ivy_module(jars: Sequence[Jar]) -> str:
    """Write the Ivy file that asks for exactly these jars and nothing they depend on."""
    dependencies = "\n".join(
        f"    <dependency org={quoteattr(jar.group)} name={quoteattr(jar.artifact)} "
        f'rev={quoteattr(jar.version)} conf="default->master" transitive="false"/>'
        for jar in jars
    )
    return f"""<ivy-module version="2.0">
  <info organisation="streamguard" module="jars"/>
  <configurations><conf name="default"/></configurations>
  <dependencies>
{dependencies}
  </dependencies>
</ivy-module>
"""


def _ivy_jar() -> Path:
    spec = importlib.util.find_spec("pyspark")
    folders = spec.submodule_search_locations if spec else None
    found = sorted(Path(folders[0]).glob("jars/ivy-*.jar")) if folders else []
    if not found:
        raise JarError("the pyspark wheel, which holds Ivy, is not installed: run `make setup`")
    return found[-1]


def _bytes_in(cache: Path) -> int:
    total = 0
    for path in cache.rglob("*"):
        if path.name.endswith((".jar", ".jar.part")):
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                continue  # Ivy renamed it just now; the next poll counts it
    return total


def _reason(log: Path) -> str:
    """Return the lines of Ivy's log that say why, without the stack of nested attempts."""
    text = log.read_text(encoding="utf-8", errors="replace")
    if any(word in text for word in ("UnknownHostException", "Host not found", "Connection timed")):
        return f"no network to the jar repository (see {log})"
    if "PKIX path building failed" in text:
        return f"Java does not trust the network's certificate; set SSL_CERT_FILE (see {log})"
    lines = [line.strip() for line in text.splitlines() if "not found" in line or "rror" in line]
    return f"{'; '.join(lines[:3]) or 'Ivy failed'} (see {log})"
