"""``streamguard rules check|test``: for those who write rules in the Sigma format."""

import argparse
from pathlib import Path
from typing import Any

from detection import sigma
from detection.errors import RuleError
from detection.rules import Rule, RuleSet
from streamguard_cli.errors import InputError, RefusedRuleError
from streamguard_cli.output import printable, result
from streamguard_cli.tables import show_json


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the verbs and their flags."""
    parser = commands.add_parser("rules", help="check and test rule files")
    verbs = parser.add_subparsers(dest="rules_verb", required=True, metavar="VERB")
    for name, run, what in (
        ("check", check, "load rules as detection does; say what is refused, and why"),
        ("test", test, "run the examples that stand in the file"),
    ):
        verb = verbs.add_parser(name, help=what)
        verb.add_argument(
            "file",
            metavar="FILE",
            nargs="?",
            default=str(sigma.BUILTIN),
            help="rule file, or folder of *.yml files (default: the rules that come with StreamGuard)",
        )
        verb.add_argument("--json", action="store_true", help="print rules, and examples, as JSON")
        verb.set_defaults(run=run)


def check(options: argparse.Namespace) -> int:
    """Name the rules of a file; 0 when detection takes them.

    Raises:
        CommandError: If there is no such file, or a rule is refused.
    """
    rules = _load(options.file)
    if options.json:
        show_json({"rules": _described(rules)})
        return 0
    for rule in _rules(rules):
        techniques = ", ".join(rule.techniques) or "no technique"
        result(f"ok  {rule.rule_id} (version {rule.version}): {rule.severity}, {techniques}")
    return 0


def test(options: argparse.Namespace) -> int:
    """Run each example of a file's rules; 0 when each raised what it says, else 1.

    Raises:
        CommandError: If there is no such file, or a rule is refused.
    """
    rules = _load(options.file)
    outcomes = sigma.run_examples(rules)
    failed = sum(not outcome.passed for outcome in outcomes)
    if options.json:
        told = [
            {
                **rule,
                "examples": [
                    {
                        "example": each.example,
                        "passed": each.passed,
                        "expected": each.expected,
                        "raised": each.raised,
                    }
                    for each in outcomes
                    if each.rule_id == rule["rule_id"]
                ],
            }
            for rule in _described(rules)
        ]
        show_json({"passed": len(outcomes) - failed, "failed": failed, "rules": told})
        return 1 if failed else 0
    for outcome in outcomes:
        result(f"{'ok    ' if outcome.passed else 'FAILED'}  {outcome.rule_id}: {outcome.example}")
        if not outcome.passed:
            wanted = "at least one" if outcome.expected is None else outcome.expected
            result(f"        expected alerts: {wanted}; raised: {outcome.raised}")
            for description in outcome.descriptions:
                result(f"        {printable(description)}")
    result(f"{len(outcomes) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _rules(rules: RuleSet) -> list[Rule]:
    return [each.rule for each in rules.correlations if each.rule is not None]


def _described(rules: RuleSet) -> list[dict[str, Any]]:
    return [
        {
            "rule_id": rule.rule_id,
            "version": rule.version,
            "severity": rule.severity,
            "techniques": list(rule.techniques),
        }
        for rule in _rules(rules)
    ]


def _load(file: str) -> RuleSet:
    if not Path(file).exists():
        raise InputError(f"{file}: no such file or folder")
    try:
        return sigma.load(file)
    except RuleError as error:
        raise RefusedRuleError(printable(str(error))) from error
