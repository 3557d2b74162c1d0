import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1]


def generator():
    spec = importlib.util.spec_from_file_location(
        "generate_reference", DOCS / "generate_reference.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["settings.md", "metrics.md", "api.md"])
def test_the_reference_page_is_the_code_s(page):
    assert (DOCS / "reference" / page).read_text() == generator().PAGES[page](), (
        "run python docs/generate_reference.py and look at the difference"
    )
