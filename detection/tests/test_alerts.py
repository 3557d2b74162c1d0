import pytest

from contracts.alerts import MAX_EVIDENCE
from detection import Engine

START = 1_767_225_600_000
MINUTE = 60_000


def failures(*minutes, user="alice", **more):
    return [
        {
            "timestamp": START + int(minute * MINUTE),
            "event_id": f"{user}-{number}",
            "user": user,
            "status": "failed",
            "source_ip": f"10.0.0.{number % 2}",
            **more,
        }
        for number, minute in enumerate(minutes)
    ]


def raised(batch, *events, engine=None):
    return (engine or Engine()).process(batch(*events)).alerts


def test_third_failed_login_within_five_minutes_raises_an_alert(batch):
    [(row, alert)] = raised(batch, *failures(0, 2, 4.9))

    assert row == 2
    assert alert.alert_type == "SUSPICIOUS_LOGIN_PATTERN"
    assert (alert.rule_id, alert.severity, alert.techniques) == (
        "failed-login-burst",
        "HIGH",
        ["T1110"],
    )
    assert (alert.user_id, alert.event_count, alert.resolved) == ("alice", 3, False)
    assert alert.event_ids == ["alice-0", "alice-1", "alice-2"]
    assert alert.source_ips == ["10.0.0.0", "10.0.0.1"]
    assert (alert.first_seen, alert.last_seen) == (START, START + int(4.9 * MINUTE))
    assert alert.timestamp == alert.last_seen


@pytest.mark.parametrize(
    "events",
    [
        pytest.param(failures(0, 2, 5), id="five-minutes-is-too-long"),
        pytest.param(failures(0, 1), id="only-two"),
        pytest.param([*failures(0, 1), *failures(2, user="bob")], id="two-users"),
        pytest.param(failures(0, 1, 2, event_type="file_access"), id="no-logins"),
        pytest.param(failures(0, 1, 2, status="blocked"), id="blocked"),
        pytest.param(failures(0, 1, 2, user="unknown"), id="unknown-user"),
    ],
)
def test_no_alert(batch, events):
    assert raised(batch, *events) == []


@pytest.mark.parametrize("event_type", ["auth_attempt", "USER_LOGIN_FAILED"])
def test_types_that_are_logins(batch, event_type):
    assert len(raised(batch, *failures(0, 1, 2, event_type=event_type))) == 1


def test_a_late_event_completes_a_window(batch):
    [(row, alert)] = raised(batch, *failures(0, 4, 1))

    assert row == 2
    assert (alert.timestamp, alert.last_seen) == (START + MINUTE, START + 4 * MINUTE)


def test_an_event_from_the_far_future_blinds_no_rule(batch):
    [(row, alert)] = raised(batch, *failures(0, 3_000_000, 1, 2))

    assert row == 3
    assert alert.event_ids == ["alice-0", "alice-2", "alice-3"]


def test_what_goes_on_is_one_alert_until_it_pauses(batch):
    alerts = raised(batch, *failures(0, 1, 2, 3, 4, 5, 6, 20, 21, 22))

    assert [row for row, _ in alerts] == [2, 9]
    assert alerts[0][1].alert_id != alerts[1][1].alert_id


def test_what_goes_on_for_an_hour_is_said_again(batch):
    alerts = raised(batch, *failures(*range(130)))

    assert [row for row, _ in alerts] == [2, 62, 122]


def test_fifty_first_event_is_rapid_activity(batch):
    events = [{"timestamp": START + n * 1_000, "event_id": f"e{n}"} for n in range(60)]
    [(row, alert)] = raised(batch, *events)

    assert row == 50
    assert (alert.alert_type, alert.severity, alert.techniques) == (
        "RAPID_ACTIVITY",
        "MEDIUM",
        ["T1005"],
    )
    assert alert.event_count == 51
    assert alert.event_ids == [f"e{n}" for n in range(51 - MAX_EVIDENCE, 51)]
    assert alert.source_ips == []


def test_a_replay_raises_the_same_alert(batch, simulated):
    events = simulated(2, 2_000, step_ms=300)

    first, again = raised(batch, engine=(one := Engine())), Engine().process(events).alerts
    assert first == []
    assert one.process(events).alerts == again
    assert len({alert.alert_id for _, alert in again}) == len(again) > 0
