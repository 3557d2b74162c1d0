import numpy as np
import pytest

from detection import Engine

START = 1_767_225_600_000
HOUR_MS = 3_600_000


def habit(n):
    """80 % one address and place, 20 % another; half logins, half files."""
    other = n % 5 == 4
    return {
        "timestamp": START + 9 * HOUR_MS + n * 1_000,
        "source_ip": "10.0.0.6" if other else "10.0.0.5",
        "geo_location": "US-NY" if other else "US-CA",
        "event_type": "file_access" if n % 2 else "auth_attempt",
        "status": "success",
        "user_agent": "agent",
    }


INTRUDER = {
    "timestamp": START + 3 * HOUR_MS,
    "source_ip": "203.0.113.9",
    "geo_location": "KP-PYO",
    "event_type": "auth_attempt",
    "status": "failed",
    "user_agent": "curl",
}


def test_reference_score_by_hand(batch):
    events = [*map(habit, range(100)), {**habit(100), "source_ip": "10.0.0.6"}, INTRUDER]
    result = Engine("reference").process(batch(*events))

    assert np.isnan(result.anomaly_score[:100]).all()
    # The event after 100: hour 1, ip 20/100, place 80/100, type 50/100, no failure.
    assert result.anomaly_score[100] == pytest.approx(0.30 * 0.8 + 0.20 * 0.2 + 0.15 * 0.5)
    assert result.components[100, :5] == pytest.approx([0, 0.8, 0.2, 0.5, 0])
    # The intruder after 101: hour, ip, place never; type 51/101; failed.
    expected = 0.25 + 0.30 + 0.20 + 0.15 * (1 - 51 / 101) + 0.10
    assert result.anomaly_score[101] == pytest.approx(expected)
    assert result.is_anomaly.tolist() == [False] * 101 + [True]


def test_absent_values_add_nothing_to_the_reference_score(batch):
    events = [*map(habit, range(100)), {"timestamp": habit(1)["timestamp"]}]
    result = Engine("reference").process(batch(*events))

    assert result.anomaly_score[100] == pytest.approx(0.15 * 0.5)


@pytest.mark.parametrize("scorer", ["calibrated", "reference"])
def test_an_intruder_stands_out_with_reasons(batch, scorer):
    result = Engine(scorer).process(batch(*map(habit, range(500)), INTRUDER))

    assert result.is_anomaly[500]
    assert result.anomaly_score[500] >= 0.5
    assert result.reasons[500] is not None
    said = "\n".join(result.reasons[500])
    assert "source address 203.0.113.9 is new" in said
    assert "usual are 10.0.0.5 (80 %) and 10.0.0.6 (20 %)" in said
    assert said.count("alice") == 1
    assert sum(result.is_anomaly[:500]) == 0


def test_an_intruder_between_habits_is_found_again_and_again(batch):
    again = {**INTRUDER, "timestamp": habit(0)["timestamp"], "status": "success"}
    events = []
    for n in range(3_000):
        events.append(habit(n))
        if n >= 300 and n % 20 == 0:
            events.append({**again, "event_id": f"odd{n}"})
    result = Engine().process(batch(*events))
    odd = np.array([event.get("event_id", "").startswith("odd") for event in events])

    assert result.is_anomaly[odd].mean() >= 0.9
    assert not result.is_anomaly[~odd].any()


def test_an_hour_is_evidence_only_after_a_day(batch):
    night = {"timestamp": START + 27 * HOUR_MS}
    new_user = [*map(habit, range(500)), {**habit(500), **night}]
    days = [{**habit(n), "timestamp": START + (n % 3 * 24 + 9) * HOUR_MS} for n in range(500)]
    days.append({**habit(500), "timestamp": START + 75 * HOUR_MS})

    hour_of = [Engine().process(batch(*events)).components[500, 0] for events in (new_user, days)]

    assert hour_of[0] == 0
    assert hour_of[1] > 0


def test_a_port_is_judged_among_events_of_its_type(batch):
    """Name look-ups, a tenth of all, always go to port 53: no second surprise."""
    lookup = {"event_type": "dns_query", "port": 53}
    web = {"event_type": "network_connection", "port": 443}
    events = [{**habit(n), **(lookup if n % 10 == 0 else web)} for n in range(1_001)]
    ports = Engine().process(batch(*events)).components[:, 7]

    assert ports[1_000] < 0.02


def test_a_second_event_is_judged_once_the_others_are_known(batch):
    others = [{**habit(n), "user": f"user{n % 20}"} for n in range(2_000)]
    ordinary = {**habit(0), "user": "new"}
    odd = {**INTRUDER, "user": "new", "process_name": "mimikatz.exe"}
    result = Engine().process(batch(*others, ordinary, odd))

    assert np.isnan(result.anomaly_score[2_000])
    assert result.is_anomaly[2_001]


def test_calibrated_scores_begin_after_10_events_and_stay_in_range(simulated):
    result = Engine().process(simulated(1, 3_000, users=1))
    scored = ~np.isnan(result.anomaly_score)

    assert 10 <= np.flatnonzero(scored)[0] < 20  # duplicates and unknown users come between
    assert ((result.anomaly_score[scored] >= 0) & (result.anomaly_score[scored] <= 1)).all()
    components = result.components[scored]
    assert ((components >= 0) & (components <= 1)).all()
    assert (result.is_anomaly[scored] == (result.anomaly_score[scored] >= 0.5)).all()


def test_intruders_among_habits_are_found(simulated):
    events = simulated(4, 6_000)
    result = Engine().process(events)
    judged = ~np.isnan(result.anomaly_score)
    odd = np.array([name.startswith("odd") for name in events.column("event_id").to_pylist()])

    hits = (result.is_anomaly & odd & judged).sum()
    assert hits / (odd & judged).sum() >= 0.95
    assert hits / result.is_anomaly.sum() >= 0.9


def test_always_new_values_are_no_surprise(batch):
    events = [{**habit(n), "domain": f"{n}.example", "port": 10_000 + n} for n in range(1_000)]
    result = Engine().process(batch(*events))

    assert not result.is_anomaly[100:].any()


def test_a_new_place_becomes_normal_by_repetition(batch):
    moved = {"source_ip": "198.51.100.7", "geo_location": "FR-PAR", "user_agent": "new agent"}
    events = [*map(habit, range(500)), *({**habit(n), **moved} for n in range(500, 800))]
    result = Engine().process(batch(*events))

    assert result.is_anomaly[500]
    assert not result.is_anomaly[-50:].any()


def test_suspicious_events_teach_little(batch):
    events = []
    for n in range(2_000):
        events.append({**habit(n)})
        if n >= 500 and n % 50 == 0:
            events.append({**INTRUDER, "event_id": f"odd{n}"})
    result = Engine().process(batch(*events))
    odd = np.array([event.get("event_id", "").startswith("odd") for event in events])

    assert result.is_anomaly[odd].all()
