import argparse
import re
from pathlib import Path

import pytest

from event_generator import parser
from event_generator.settings import SeedSettings, TransactionSettings

README = (Path(__file__).parents[1] / "README.md").read_text()


def flags_of(command: str) -> set[str]:
    choices = next(
        action.choices
        for action in parser.build()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return {
        flag
        for action in choices[command]._actions
        for flag in action.option_strings
        if flag.startswith("--")
    }


@pytest.mark.parametrize("command", ["security", "transactions", "seed"])
def test_every_flag_is_documented(command):
    missing = {flag for flag in flags_of(command) if f"`{flag}`" not in README}

    assert not missing


@pytest.mark.parametrize("kind", [TransactionSettings, SeedSettings])
def test_every_variable_is_documented_with_its_default(kind):
    for name, field in kind.model_fields.items():
        row = re.search(rf"^\| `{name.upper()}` \| ([^|]*) \|", README, re.MULTILINE)

        assert row, name
        assert row[1].lower() == str(field.default).lower()


@pytest.mark.parametrize("kind", [TransactionSettings, SeedSettings])
def test_every_variable_is_in_the_help(kind):
    epilogs = parser.TRANSACTIONS_EPILOG + parser.SEED_EPILOG

    assert all(name.upper() in epilogs for name in kind.model_fields)
