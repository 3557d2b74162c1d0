import pytest

from contracts import lake


def test_nothing_is_current_in_a_new_lake(tmp_path):
    assert lake.read_current(tmp_path) is None


def test_current_is_replaced(tmp_path):
    lake.write_current(tmp_path, "run-1")
    lake.write_current(tmp_path, "run-2")

    assert lake.read_current(tmp_path) == "run-2"
    assert [path.name for path in (tmp_path / "security").iterdir()] == ["CURRENT"]


@pytest.mark.parametrize("text", ["", "\n"], ids=["empty", "blank"])
def test_an_empty_pointer_counts_as_none(tmp_path, text):
    (tmp_path / "security").mkdir()
    (tmp_path / lake.CURRENT).write_text(text)

    assert lake.read_current(tmp_path) is None
