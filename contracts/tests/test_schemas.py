import pytest

from contracts.schemas import DIRECTORY, MODELS, file_name, schema_text


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_the_checked_in_schema_is_the_code_s(model):
    assert (DIRECTORY / file_name(model)).read_text() == schema_text(model), (
        "run python -m contracts.schemas and look at the difference"
    )


def test_no_schema_is_left_of_a_model_that_is_gone():
    assert {path.name for path in DIRECTORY.iterdir()} == {file_name(model) for model in MODELS}
