"""The alert queue, worked through without a mouse."""

import re

import pytest

from serving_layer.testing import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def queue(page, dashboard):
    """The queue with two alerts of a user of its own, and what the API says of them."""
    made = [dashboard.raise_alert(user_id="dora", description=f"dora {n}") for n in range(2)]
    page.goto("/alerts")
    page.get_by_label("Your name").fill("dana")
    page.get_by_text("dora 1").first.wait_for()
    page.get_by_role("grid", name="Alert queue").focus()
    page.keyboard.press("Home")
    yield page
    bodies = {"alert_ids": [each["alert_id"] for each in made], "action": "resolve", "by": "test"}
    dashboard.http.post("/api/alerts/actions", json=bodies).raise_for_status()


def alert(dashboard, description):
    found = dashboard.http.get("/api/alerts", params={"user": "dora", "limit": 100}).json()["data"]
    return next(each for each in found if each["description"] == description)


def selected(page, words):
    page.locator("tr[aria-selected=true]", has_text=words).wait_for()


def test_an_alert_is_acknowledged_and_resolved_by_keys(queue, dashboard):
    selected(queue, "dora 1")
    queue.keyboard.press("a")
    wait_until(lambda: alert(dashboard, "dora 1")["status"] == "acknowledged", "acknowledged")
    assert alert(dashboard, "dora 1")["assignee"] == "dana"
    queue.get_by_role("cell", name="acknowledge").first.wait_for()

    queue.keyboard.press("j")
    selected(queue, "dora 0")
    queue.keyboard.press("k")
    selected(queue, "dora 1")
    queue.keyboard.press("r")
    wait_until(lambda: alert(dashboard, "dora 1")["resolved"], "resolved")
    selected(queue, "dora 0")  # the next one has taken its place


def test_several_are_marked_and_judged_at_once_with_a_comment(queue, dashboard):
    selected(queue, "dora 1")
    queue.keyboard.press("x")
    selected(queue, "dora 0")
    queue.keyboard.press("x")
    queue.keyboard.press("c")
    queue.keyboard.type("scanner of the audit team")
    queue.keyboard.press("Escape")
    queue.keyboard.press("f")

    for words in ("dora 0", "dora 1"):
        wait_until(
            lambda words=words: alert(dashboard, words)["verdict"] == "false_positive", words
        )
    queue.get_by_text("false positive: 2 of 2 alerts").wait_for()


def test_alerts_like_a_false_positive_are_silenced_by_key_and_no_others(queue, dashboard):
    selected(queue, "dora 1")
    queue.keyboard.press("s")
    queue.get_by_text("is not marked a false positive").wait_for()
    mark = {"alert_ids": [alert(dashboard, "dora 1")["alert_id"]], "by": "test"}
    dashboard.http.post("/api/alerts/actions", json=mark | {"action": "false_positive"})
    queue.get_by_label("Show", exact=True).click()
    queue.get_by_role("option", name="all", exact=True).click()
    judged = queue.locator("tr[data-place]", has_text=re.compile("dora 1.*false.positive"))
    judged.first.get_by_text("dora 1").click()
    selected(queue, "dora 1")
    queue.get_by_role("grid", name="Alert queue").focus()
    queue.keyboard.press("s")

    queue.get_by_text("Alerts like it are silenced").wait_for()
    [made] = dashboard.http.get("/api/suppressions").json()["data"]
    assert alert(dashboard, "dora 0")["suppressed_by"] == made["id"]
    dashboard.http.delete(f"/api/suppressions/{made['id']}", params={"by": "test"})


def test_a_step_without_a_name_is_refused_with_the_reason(queue, dashboard):
    queue.get_by_label("Your name").fill("")
    queue.get_by_role("button", name="Acknowledge (a)").click()

    queue.get_by_text("Say your name first.").wait_for()
    assert alert(dashboard, "dora 1")["status"] == "open"
