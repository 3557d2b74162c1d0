from pathlib import Path

import pytest

from detection import sigma

OUTCOMES = sigma.run_examples(sigma.builtin_rules())


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda one: f"{one.rule_id}: {one.example}")
def test_examples_of_the_builtin_rules(outcome):
    assert outcome.passed, f"{outcome.file}: {outcome.raised} alerts {outcome.descriptions}"


def test_the_rule_of_the_how_to_page_works(tmp_path):
    page = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-rule.md"
    path = tmp_path / "rule.yml"
    path.write_text(page.read_text().partition("```yaml\n")[2].partition("```")[0])
    outcomes = sigma.run_examples(sigma.load(path))

    assert [outcome.passed for outcome in outcomes] == [True, True]
