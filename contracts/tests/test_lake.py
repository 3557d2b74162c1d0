import pytest

from contracts import lake
from contracts.errors import DamagedPointerError


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


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\0" * 30, id="zeros-of-a-power-cut"),
        pytest.param(b"run-\xff\xfe", id="no-text"),
        pytest.param(b"../../elsewhere", id="a-path"),
        pytest.param(b"run-1\nrun-2\n", id="two-lines"),
        pytest.param(b"r" * 5000, id="long"),
    ],
)
def test_a_pointer_that_names_no_run_is_an_error_that_names_the_file(tmp_path, data):
    (tmp_path / "security").mkdir()
    (tmp_path / lake.CURRENT).write_bytes(data)

    with pytest.raises(DamagedPointerError, match="security/CURRENT holds no run id"):
        lake.read_current(tmp_path)
