import asyncio

from contracts.topics import SECURITY_EVENTS, USER_EVENTS
from serving_layer.dashboard.activity import user_activity


class ScriptedApi:
    """Answers the two routes that the section asks."""

    def __init__(self, **counts):
        self.counts = counts

    async def get(self, path, **params):
        if path == "/api/events/count":
            return {"count": self.counts.get(params["event_type"], 0)}
        held = {"batch_rows": 1_000, "realtime_rows": 234}
        topics = [SECURITY_EVENTS, USER_EVENTS] if self.counts else [SECURITY_EVENTS]
        return {"partitions": [{"topic": topic, **held} for topic in topics]}


def test_kinds_of_user_activity_are_counted():
    shown = str(asyncio.run(user_activity(ScriptedApi(USER_LOGIN=1_100, USER_LOGIN_FAILED=100))))

    assert "User activity: 1,234 events" in shown
    for words in ("USER_LOGIN_FAILED", "1,100", "other kinds", ">34<"):
        assert words in shown
    assert "USER_SEARCH" not in shown


def test_a_stream_without_events_says_so():
    assert "No user activity has come yet." in str(asyncio.run(user_activity(ScriptedApi())))
