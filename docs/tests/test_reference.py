import importlib.util
from pathlib import Path

import pytest

from batch_layer.errors import BatchLayerError
from serving_layer.errors import ServingError

DOCS = Path(__file__).parents[1]


def generator():
    spec = importlib.util.spec_from_file_location(
        "generate_reference", DOCS / "generate_reference.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["settings.md", "metrics.md", "api.md", "rules.md"])
def test_the_reference_page_is_the_code_s(page):
    assert (DOCS / "reference" / page).read_text() == generator().PAGES[page](), (
        "run python docs/generate_reference.py and look at the difference"
    )


def family(error: type[Exception]) -> list[type[Exception]]:
    """Return an error class and everything below it."""
    return [error, *(each for child in error.__subclasses__() for each in family(child))]


def test_every_error_that_a_client_may_see_is_explained():
    generator().applications()  # imports every module that may define an error
    page = (DOCS / "reference" / "errors.md").read_text()

    codes = {error.code for error in family(BatchLayerError)}
    slugs = {error.slug for error in family(ServingError)}
    assert {code for code in codes | slugs if f"`{code}`" not in page} == set()
