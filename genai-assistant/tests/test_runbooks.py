"""Every rule that can raise an alert has its document, its techniques and its actions."""

import pytest

from detection.sigma import builtin_rules
from genai_assistant.evidence import REAL_TIME, Findings, Ledger, Statement
from genai_assistant.retrieval.corpus import load_corpus
from genai_assistant.runbooks import actions, load_runbooks

RULES = [one.rule for one in builtin_rules().correlations if one.rule]
"""The rules of the detection package that raise alerts."""


def ids(rule):
    return rule.rule_id


@pytest.mark.parametrize("rule", RULES, ids=ids)
def test_every_rule_has_actions_of_its_own_with_reason_and_evidence(rule):
    ledger = Ledger()
    cite = ledger.add("alert", REAL_TIME, {"alert_type": rule.alert_type})
    findings = Findings(statements=[Statement("An alert", (cite,))], rules={rule.alert_type: cite})

    told = actions(load_runbooks(), findings, ledger)

    assert told
    assert all(one["action"] and one["reason"] and one["evidence"] == [cite] for one in told)


@pytest.mark.parametrize("rule", RULES, ids=ids)
def test_every_rule_and_its_techniques_are_in_the_corpus(rule):
    corpus = load_corpus()

    assert corpus[rule.alert_type].kind == "rule"
    assert set(rule.techniques) <= corpus.keys()
    assert set(rule.techniques) <= set(corpus[rule.alert_type].techniques)


def test_no_runbook_names_a_rule_that_does_not_exist():
    known = {rule.alert_type for rule in RULES} | {"FAILED_LOGINS"}

    assert {name for book in load_runbooks() for name in book.rules} <= known
