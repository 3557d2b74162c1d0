import random

import pytest

from local_stack.backup import BackupError, back_up, restore


def write(folder, **contents):
    for name, content in contents.items():
        path = folder / name / "data"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_what_was_backed_up_comes_back_and_what_was_there_is_kept(tmp_path, dummies):
    stack = dummies.stack()
    folder = stack.layout.stack_dir
    write(folder, lake=b"runs", serving=b"cases", kafka=b"log", run=b"process", logs=b"lines")
    archive = tmp_path / "backup.tar.gz"
    assert back_up(stack, archive) == archive.stat().st_size
    write(folder, lake=b"altered", speed=b"new")

    before = restore(stack, archive)

    kept = {path.name for path in folder.iterdir() if path.is_dir()}
    assert kept == {"lake", "serving", "kafka"}
    assert (folder / "lake" / "data").read_bytes() == b"runs"
    assert before is not None
    assert (before / "lake" / "data").read_bytes() == b"altered"


def test_a_running_stack_is_not_touched(tmp_path, dummies, up):
    stack = dummies.stack()
    up(stack)

    with pytest.raises(BackupError, match="make down"):
        back_up(stack, tmp_path / "backup.tar.gz")
    with pytest.raises(BackupError, match="make down"):
        restore(stack, tmp_path / "backup.tar.gz")


@pytest.mark.parametrize("damage", ["cut off", "flipped bits", "no backup", "not there"])
def test_a_damaged_backup_leaves_the_data_as_it_is(tmp_path, dummies, damage):
    stack = dummies.stack()
    folder = stack.layout.stack_dir
    # Not to be compressed: a bit between two blocks of a compressed file may mean nothing.
    data = random.Random(1).randbytes(100_000)
    write(folder, lake=data)
    archive = tmp_path / "backup.tar.gz"
    back_up(stack, archive)
    content = bytearray(archive.read_bytes())
    middle = len(content) // 2
    if damage == "cut off":
        archive.write_bytes(content[:middle])
    elif damage == "flipped bits":
        for place in range(middle, middle + 8):
            content[place] ^= 0xFF
        archive.write_bytes(content)
    elif damage == "no backup":
        archive.write_bytes(b"a letter")
    else:
        archive.unlink()

    with pytest.raises(BackupError, match=r"backup\.tar\.gz"):
        restore(stack, archive)

    assert (folder / "lake" / "data").read_bytes() == data
    assert [path.name for path in tmp_path.glob("stack-*")] == [folder.name]


def test_a_bit_that_flipped_anywhere_is_noticed_or_changes_nothing(tmp_path, dummies):
    stack = dummies.stack()
    data = stack.layout.stack_dir / "lake" / "data"
    write(stack.layout.stack_dir, lake=bytes(range(256)) * 40, kafka=b"log" * 500)
    archive = tmp_path / "backup.tar.gz"
    back_up(stack, archive)
    whole, refused = archive.read_bytes(), 0
    # From behind gzip's header, whose time and name nobody relies on.
    for place in range(40, len(whole), 7):
        archive.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            restore(stack, archive)
        except BackupError:
            refused += 1
        assert data.read_bytes() == bytes(range(256)) * 40, place
    assert refused > len(range(40, len(whole), 7)) / 2  # the rest fills up bytes


def test_a_file_that_exists_is_not_overwritten(tmp_path, dummies):
    stack = dummies.stack()
    write(stack.layout.stack_dir, lake=b"runs")
    archive = tmp_path / "backup.tar.gz"
    archive.write_bytes(b"yesterday's")

    with pytest.raises(BackupError, match="exists"):
        back_up(stack, archive)

    assert archive.read_bytes() == b"yesterday's"


def test_nothing_to_back_up_is_said(tmp_path, dummies):
    stack = dummies.stack()
    stack.layout.stack_dir.rename(tmp_path / "elsewhere")

    with pytest.raises(BackupError, match="no data"):
        back_up(stack, tmp_path / "backup.tar.gz")
