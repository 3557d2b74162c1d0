"""Rules in the Sigma format, read by pySigma.

* ``load``           files to a rule set, or ``RuleError`` that says what is not supported and why
* ``run_examples``   each rule's own examples, with the outcome of each
* ``builtin_rules``  the rules that stand in this package
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from detection.rules import RuleSet

if TYPE_CHECKING:
    from detection.sigma.examples import Outcome

BUILTIN = Path(__file__).parent.parent / "rule_files"


def load(path: Path | str) -> RuleSet:
    """Return the rules of a file, or of all ``*.yml`` files in a folder.

    Raises:
        RuleError: With file, rule and reason, for the first rule that cannot be used.
    """
    from detection.sigma.loading import load_rules  # pySigma takes half a second to import

    return load_rules(Path(path))


@cache
def builtin_rules() -> RuleSet:
    """Return the rules that stand in this package."""
    return load(BUILTIN)


def run_examples(rules: RuleSet) -> "list[Outcome]":
    """Run each example of a rule set; see ``detection.sigma.examples.Outcome``."""
    from detection.sigma.examples import run

    return run(rules)


__all__ = ["BUILTIN", "builtin_rules", "load", "run_examples"]
