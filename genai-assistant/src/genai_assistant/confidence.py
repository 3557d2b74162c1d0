"""Confidence of an answer, from its evidence alone.

``confidence = coverage x agreement x freshness``, each 0..1:

* coverage: calls that answered, over calls made; an incomplete page counts half
* agreement: 1 when the layers agree or only one of them speaks to the question; the table in
  ``questions.user_anomaly`` says how much less when not
* freshness: 1 when events fell in the asked window, .8 when the latest known activity or the
  batch run's verdict stood in for it, .5 when nothing is known

The steps are chosen so that confidence is near the share of right answers on the evaluation set;
``make eval-assistant`` prints both by bin and fails when they part.

Without any statement it is at most .1, without a verdict where one was asked at most .2.
"""

from genai_assistant.evidence import Findings, Ledger

NOTHING_SAID = 0.1
NO_VERDICT = 0.2


def confidence(findings: Findings, ledger: Ledger) -> float:
    """Return the confidence of an answer, 0..1, to two decimals."""
    coverage = ledger.answered / ledger.asked if ledger.asked else 1.0
    value = coverage * findings.agreement * findings.freshness
    if not findings.statements:
        value = min(value, NOTHING_SAID)
    elif findings.verdict in {"unknown", "not_scored"}:
        value = min(value, NO_VERDICT)
    return round(value, 2)
