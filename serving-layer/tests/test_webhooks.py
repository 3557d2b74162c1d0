"""Alerts reach webhooks at least once: signed, retried, given up where a person can see it."""

import hashlib
import hmac
import json
import threading
from datetime import timedelta

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from serving_layer.cases.outbox import Outbox
from serving_layer.cases.webhooks import read_webhooks, slack_text
from serving_layer.errors import WebhookFileError
from serving_layer.testing import Server, alert_record, event_record, wait_until

TOPIC = "security-events"
SECRET = "a secret of 16 bytes or more"  # noqa: S105


class Receiver:
    """A webhook's other end; ``statuses`` are answered first, then 200."""

    def __init__(self):
        self.taken, self.statuses = [], []
        self._lock = threading.Lock()
        self.server = Server(Starlette(routes=[Route("/hook", self._hook, methods=["POST"])]))

    async def _hook(self, request):
        body = await request.body()
        with self._lock:
            status = self.statuses.pop(0) if self.statuses else 200
            self.taken.append((status, dict(request.headers), body))
        return Response(status_code=status)

    def delivered(self):
        return [json.loads(body) for status, _, body in self.taken if status == 200]


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.server.stop()


@pytest.fixture
def hooked(stack, receiver, tmp_path):
    """Start the stack with one target."""
    part = stack.speed.partition(TOPIC, 0)
    part.append([event_record(0)])
    part.alerts.append(alert_record(TOPIC, 0, 0, alert_id="before"))

    def start(attempts=8, **target):
        values = {"name": "soc", "url": f"{receiver.server.url}/hook", "secret": SECRET, **target}
        file = tmp_path / "webhooks.json"
        file.write_text(json.dumps([values]))
        stack.start(
            webhooks_file=file,
            webhook_attempts=attempts,
            webhook_first_pause=timedelta(milliseconds=20),
        )
        outbox = Outbox(stack.data)
        wait_until(outbox.positions, "a place to begin")
        outbox.close()
        return stack

    return start


def raise_alert(stack, offset, **values):
    part = stack.speed.partition(TOPIC, 0)
    part.alerts.append(alert_record(TOPIC, 0, offset, alert_id=f"a{offset}", **values))
    part.append([event_record(offset)])


def test_a_new_alert_is_sent_signed_after_failures_and_an_old_one_is_not(hooked, receiver):
    receiver.statuses = [500, 302]
    stack = hooked()
    raise_alert(stack, 1)
    wait_until(receiver.delivered, "delivery")

    assert [body["alert"]["alert_id"] for body in receiver.delivered()] == ["a1"]
    assert [status for status, _, _ in receiver.taken] == [500, 302, 200]
    _, headers, body = receiver.taken[-1]
    assert headers["x-streamguard-delivery"] == "soc:a1"
    stamp, value = headers["x-streamguard-signature"].split(",")
    signed = stamp.removeprefix("t=").encode() + b"." + body
    expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert value == f"v1={expected}"


def test_what_cannot_be_delivered_is_a_dead_letter_that_can_be_sent_again(hooked, receiver):
    receiver.statuses = [500, 500]
    stack = hooked(attempts=2)
    raise_alert(stack, 1)
    dead = stack.wait("/api/webhooks/dead-letters", lambda body: body["data"])["data"]

    assert (dead[0]["alert_id"], dead[0]["attempts"], dead[0]["error"]) == ("a1", 2, "answers 500")
    target = stack.json("/api/webhooks")["data"][0]
    assert (target["dead"], target["waiting"], target["signed"]) == (1, 0, True)
    assert SECRET not in stack.get("/api/webhooks").text
    path = f"/api/webhooks/dead-letters/{dead[0]['number']}/retry"
    assert stack.http.post(path).status_code == 202
    wait_until(receiver.delivered, "delivery")
    assert stack.http.post(path).status_code == 404


def test_alerts_raised_while_down_are_sent_after_the_restart(hooked, receiver):
    stack = hooked(min_severity="HIGH", format="slack")
    raise_alert(stack, 1)
    wait_until(receiver.delivered, "first")
    stack.stop()
    raise_alert(stack, 2, severity="LOW")
    raise_alert(stack, 3, description="<!channel> *free* beer")
    hooked(min_severity="HIGH", format="slack")
    wait_until(lambda: len(receiver.delivered()) == 2, "second")

    text = receiver.delivered()[1]["text"]
    assert "a3" in text
    assert "<!channel>" not in text
    assert "*free*" not in text


def test_a_suppressed_alert_is_not_sent(hooked, receiver):
    stack = hooked()
    body = {"action": "false_positive", "by": "dana"}
    assert stack.http.post("/api/alerts/before/actions", json=body).status_code == 200
    request = {"alert_id": "before", "match": ["user"], "by": "dana", "reason": "scanner"}
    assert stack.http.post("/api/suppressions", json=request).status_code == 201

    raise_alert(stack, 1)
    raise_alert(stack, 2, user_id="bob")
    wait_until(receiver.delivered, "delivery")

    assert [each["alert"]["alert_id"] for each in receiver.delivered()] == ["a2"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "JSON"),
        ('[{"name": "a b", "url": "http://x"}]', "name"),
        ('[{"name": "a", "url": "file:///etc/passwd"}]', "url"),
        ('[{"name": "a", "url": "http://x", "secret": "shortsecret"}]', "secret"),
        ('[{"name": "a", "url": "http://x"}, {"name": "a", "url": "http://x"}]', "same name"),
    ],
)
def test_a_wrong_webhooks_file_is_named_without_its_secrets(tmp_path, text, named):
    file = tmp_path / "webhooks.json"
    file.write_text(text)

    with pytest.raises(WebhookFileError, match=named) as raised:
        read_webhooks(file)
    assert "shortsecret" not in str(raised.value)


def test_slack_text_keeps_what_people_need():
    text = slack_text(alert_record(TOPIC, 0, 1, user_id="a&b\n"))

    assert text.startswith("*HIGH* SUSPICIOUS_LOGIN_PATTERN · a&amp;b : 3 failed logins")
