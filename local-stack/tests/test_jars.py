"""Fetching is tested with a stand-in for Java, so that no test needs the network."""

import hashlib
import stat
from pathlib import Path

import pytest

from local_stack.errors import JarError
from local_stack.jar_fetch import fetch, ivy_module, jars_to_fetch, remove_strays
from local_stack.jar_lock import Jar, JarSet, fault_of, lock_digest, parse_lock, read_lock
from local_stack.java import Java


def jar(name: str, content: bytes) -> Jar:
    return Jar("org.example", name, "1.0", hashlib.sha256(content).hexdigest(), len(content))


GOOD = jar("good", b"good bytes")
OTHER = jar("other", b"other bytes")


class FakeJava(Java):
    """Stands in for the ``java`` that runs Ivy: writes given files where Ivy would put them."""

    @classmethod
    def serving(cls, folder: Path, files: dict[str, bytes], log: str = "", code: int = 0) -> "Java":
        served = folder / "served"
        served.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (served / name).write_bytes(content)
        executable = folder / "bin" / "java"
        executable.parent.mkdir(exist_ok=True)
        executable.write_text(
            "#!/bin/sh\n"
            'for argument do target="$argument"; done\n'
            f'cp "{served}"/*.jar "$(dirname "$target")" 2>/dev/null\n'
            f"echo '{log}'\nexit {code}\n"
        )
        executable.chmod(executable.stat().st_mode | stat.S_IXUSR)
        return cls(folder, 17, "17")


def fetch_into(tools: Path, java: Java) -> None:
    fetch(JarSet.SPARK, [GOOD, OTHER], tools, java, lambda _: None)


@pytest.mark.parametrize(("jar_set", "count", "megabytes"), [("kafka", 46, 45), ("spark", 12, 23)])
def test_the_locks_hold_every_jar(jar_set: str, count: int, megabytes: int) -> None:
    jars = read_lock(JarSet(jar_set))
    assert len({jar.file_name for jar in jars}) == count
    assert sum(jar.size_bytes for jar in jars) // 1_000_000 == megabytes


def test_a_line_that_cannot_be_read_is_named() -> None:
    with pytest.raises(JarError, match=r"line 2: cannot read 'org:thing:1\.0 abc'"):
        parse_lock("# comment\norg:thing:1.0 abc\n")


def test_the_digest_follows_the_jars_not_their_order() -> None:
    assert lock_digest([GOOD, OTHER]) == lock_digest([OTHER, GOOD])
    assert lock_digest([GOOD]) != lock_digest([OTHER])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        pytest.param(None, "missing", id="missing"),
        pytest.param(b"good", "4 bytes instead of 10", id="cut short"),
        pytest.param(b"evil bytes", "sha256 is", id="same size, other bytes"),
        pytest.param(b"good bytes", None, id="as locked"),
    ],
)
def test_a_jar_is_compared_with_the_lock(
    tmp_path: Path, content: bytes | None, fault: str | None
) -> None:
    if content is not None:
        (tmp_path / GOOD.file_name).write_bytes(content)
    found = fault_of(GOOD, tmp_path)
    assert found == fault if fault is None else found is not None and found.startswith(fault)


def test_only_missing_and_damaged_jars_are_fetched(tmp_path: Path) -> None:
    (tmp_path / GOOD.file_name).write_bytes(b"good bytes")
    (tmp_path / OTHER.file_name).write_bytes(b"damaged")
    assert jars_to_fetch([GOOD, OTHER], tmp_path) == [OTHER]


def test_jars_the_lock_does_not_name_are_removed(tmp_path: Path) -> None:
    for name in (GOOD.file_name, "good-0.9.jar", "notes.txt"):
        (tmp_path / name).touch()
    assert remove_strays([GOOD], tmp_path) == ["good-0.9.jar"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [GOOD.file_name, "notes.txt"]


def test_fetched_jars_are_verified_and_moved_in(tmp_path: Path) -> None:
    java = FakeJava.serving(
        tmp_path / "java", {GOOD.file_name: b"good bytes", OTHER.file_name: b"other bytes"}
    )
    fetch_into(tmp_path, java)
    assert jars_to_fetch([GOOD, OTHER], tmp_path / "jars" / "spark") == []
    assert list((tmp_path / "ivy").iterdir()) == []


def test_a_wrong_checksum_names_the_jar_and_installs_nothing(tmp_path: Path) -> None:
    java = FakeJava.serving(
        tmp_path / "java", {GOOD.file_name: b"good bytes", OTHER.file_name: b"evil! bytes"}
    )
    with pytest.raises(JarError, match=r"org\.example:other:1\.0: sha256 is .* nothing was"):
        fetch_into(tmp_path, java)
    assert not (tmp_path / "jars").exists()


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ("java.net.UnknownHostException: repo", "no network to the jar repository"),
        ("SunCertPathBuilderException: PKIX path building failed", "set SSL_CERT_FILE"),
        ("UNRESOLVED: org.example#good;1.0: not found", r"good;1\.0: not found"),
    ],
)
def test_a_failed_download_says_why(tmp_path: Path, log: str, message: str) -> None:
    with pytest.raises(JarError, match=message):
        fetch_into(tmp_path, FakeJava.serving(tmp_path / "java", {}, log, code=1))


def test_ivy_is_asked_for_exactly_the_locked_jars() -> None:
    module = ivy_module([GOOD, OTHER])
    assert module.count("<dependency ") == module.count('transitive="false"') == 2
    assert 'org="org.example" name="good" rev="1.0"' in module
