"""Alerts added one by one are those of a list made at once, whatever the order they come in."""

from hypothesis import given
from hypothesis import strategies as st

from serving_layer.testing import alert_record
from serving_layer.views.alert_list import AlertList, entry
from serving_layer.views.streams import stream_code

TOPIC = "security-events"
USERS = ("alice", "bob")

# Few values of each, so that the same alert comes again, from another offset and at another time.
RECORDS = st.lists(
    st.builds(
        lambda partition, offset, alert, time, user: alert_record(
            TOPIC, partition, offset, alert_id=f"a{alert}", timestamp=time, user_id=user
        ),
        st.integers(0, 1), st.integers(0, 5), st.integers(0, 3), st.integers(0, 4),
        st.sampled_from(USERS),
    ),
    max_size=12,
)  # fmt: skip


@given(st.lists(RECORDS, max_size=6), st.integers(0, 6))
def test_extended_lists_hold_what_a_list_made_at_once_holds(steps, offset):
    distinct = {entry(each).order: entry(each) for step in steps for each in step[:2]}
    for first in distinct:  # of one alert with one place, the first record counts
        distinct[first] = next(
            entry(each) for step in steps for each in step[:2] if entry(each).order == first
        )
    at_once, grown = AlertList(distinct.values()), AlertList()
    for step in steps:
        before, held = grown, list(grown.merged)
        grown = grown.extended(step[:2])
        assert before.merged == held  # a snapshot that somebody reads

    assert grown.merged == at_once.merged
    assert grown.by_id == at_once.by_id
    for partition in range(2):
        stream = stream_code(TOPIC, partition)
        assert grown.raised(stream, offset) == at_once.raised(stream, offset)
    for order in [None, *distinct]:
        assert grown.after(order) == [e for e in at_once.merged if order is None or e.order > order]


@given(RECORDS)
def test_a_user_has_the_alerts_that_name_it(records):
    alerts = AlertList().extended(records)

    for user in (*USERS, "nobody"):
        named = [each for each in alerts.merged if each.record["user_id"] == user]
        assert alerts.of(user) == named
        for each in named:
            assert alerts.after(each.order, user) == named[named.index(each) + 1 :]
