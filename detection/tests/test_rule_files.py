import pytest

from detection import sigma

OUTCOMES = sigma.run_examples(sigma.builtin_rules())


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda one: f"{one.rule_id}: {one.example}")
def test_examples_of_the_builtin_rules(outcome):
    assert outcome.passed, f"{outcome.file}: {outcome.raised} alerts {outcome.descriptions}"
