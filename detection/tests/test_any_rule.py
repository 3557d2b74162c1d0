"""Whatever stands in a rule file: rules come out or a RuleError that names the file."""

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import detection
from detection import sigma
from detection.errors import RuleError
from detection.rules import RuleSet

FILES = sorted((Path(detection.__file__).parent / "rule_files").glob("*.yml"))
TEXTS = [path.read_bytes() for path in FILES]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("rules") / "rule.yml"


def load(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    refused = None
    try:
        assert isinstance(sigma.load(file), RuleSet)
    except RuleError as error:
        refused = str(error)
    assert refused is None or str(file) in refused


def cut(text: bytes, span: tuple[int, int], put: bytes) -> bytes:
    """Return the text with a stretch of it replaced."""
    begin, end = sorted(each % (len(text) + 1) for each in span)
    return text[:begin] + put + text[end:]


def test_any_bytes(file):
    places = st.tuples(st.integers(0, 10_000), st.integers(0, 10_000))
    damaged = st.builds(cut, st.sampled_from(TEXTS), places, st.binary(max_size=8))

    @settings(max_examples=20, deadline=None, derandomize=True, phases=[Phase.generate])
    @given(st.binary(max_size=60) | damaged)
    def loads(data):
        load(file, data)

    loads()


def test_any_value_in_the_place_of_any_other(file):
    @settings(max_examples=40, deadline=None, derandomize=True, phases=[Phase.generate])
    @given(st.sampled_from(TEXTS), st.data(), VALUES)
    def loads(text, data, value):
        documents = copy.deepcopy(list(yaml.safe_load_all(text)))
        place = data.draw(st.sampled_from(documents))
        while True:
            key = data.draw(
                st.sampled_from(list(place) if isinstance(place, dict) else range(len(place)))
            )
            below = place[key]
            if not (isinstance(below, dict | list) and below) or data.draw(st.booleans()):
                break
            place = below
        place[key] = value
        load(file, yaml.safe_dump_all(documents).encode())

    loads()
