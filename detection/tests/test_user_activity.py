"""The user-activity stream through decoder and engine: counted, with the two reference rules."""

import json

from contracts.decoder import decode
from contracts.topics import USER_EVENTS
from detection import Engine


def activity(*events):
    values = [
        json.dumps(
            {
                "userId": "carol",
                "timestamp": f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}",
                "sessionId": "s",
                "ipAddress": "10.0.0.9",
                "eventType": event,
            }
        ).encode()
        for number, event in enumerate(events)
    ]
    return decode(USER_EVENTS, 3, range(len(values)), values).events


def test_failed_logins_of_the_activity_stream():
    result = Engine().process(activity("USER_LOGIN", *["USER_LOGIN_FAILED"] * 3))
    [alert] = [alert for _, alert in result.alerts]

    assert (alert.alert_type, alert.user_id) == ("SUSPICIOUS_LOGIN_PATTERN", "carol")
    assert alert.event_ids == [f"{USER_EVENTS}-3-{offset}" for offset in (1, 2, 3)]


def test_rapid_activity_of_the_activity_stream():
    engine = Engine()
    result = engine.process(activity(*["USER_SEARCH"] * 51))

    assert [(row, alert.alert_type) for row, alert in result.alerts] == [(50, "RAPID_ACTIVITY")]
    assert engine.features_of("carol")["total_events"] == 51


def test_login_after_brute_force_is_found_in_the_activity_stream():
    result = Engine().process(activity(*["USER_LOGIN_FAILED"] * 5, "USER_LOGIN"))

    assert {alert.rule_id for _, alert in result.alerts} == {
        "failed-login-burst",
        "brute-force-source",
        "brute-force-success",
    }
