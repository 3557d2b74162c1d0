import os

from streamguard_cli import lines


def ready(found):
    """Return the lines that a followed file has now."""
    came = []
    while (line := next(found)) is not None:
        came.append(line)
    return came


def test_a_followed_file_that_is_cut_is_read_from_its_beginning(tmp_path):
    log = tmp_path / "auth.log"
    log.write_bytes(b"one\ntwo\nhal")
    found = lines.follow(str(log))
    assert ready(found) == [b"one", b"two"]

    with log.open("ab") as file:
        file.write(b"f\n")
    assert ready(found) == [b"half"]

    os.truncate(log, 0)  # as logrotate's copytruncate does
    with log.open("ab") as file:
        file.write(b"new\n")
    assert ready(found) == [b"new"]


def test_a_followed_file_may_be_absent_between_two_of_a_rotation(tmp_path):
    log = tmp_path / "auth.log"
    log.write_bytes(b"one\n")
    found = lines.follow(str(log))
    assert ready(found) == [b"one"]

    log.rename(tmp_path / "auth.log.1")
    assert ready(found) == []
    log.write_bytes(b"two\n")
    assert ready(found) == [b"two"]


def test_of_a_line_without_end_the_beginning_is_kept(tmp_path):
    log = tmp_path / "auth.log"
    log.write_bytes(b"x" * 3 * lines.MAX_LINE_BYTES + b"\r\nnext\r\n")

    for found in (list(lines.read(str(log))), ready(lines.follow(str(log)))):
        assert found == [b"x" * lines.MAX_LINE_BYTES, b"next"]
