"""Every page in a real Chromium: real data, no console error, any width, any theme."""

import re
import time

import pytest

pytestmark = pytest.mark.integration

PAGES = {
    "/": ["Complete and current", "security-events/0", "mallory", "batch 6"],
    "/alerts?alert=security-events-0-1": [
        "old burst",
        "failed-login-burst, version 1",
        "evt_000000000001",
    ],
    "/users": ["mallory", "0.93", "anomalous"],
    "/users/mallory": [
        "says anomalous: score 0.60",
        "source address 203.0.113.7 is rare",
        "unique ips",
        "many addresses",
        "Seam: below this line from batch run r2",
    ],
    "/events/evt_000000000008": ["203.0.113.7", "Score 0.93", "Nothing was written"],
    "/runs": ["r2 against r1", "unique_ips 3 to 57", "0.310", "published"],
    "/transactions": ["aggregations", "2026-01-01 12:07", "Electronics", "9 times the customer"],
    "/seams": ["Every offset is", "security-events/0", "r2"],
    "/system": ["rag_service", "10 min", "security-events/0", "No webhook is set up"],
    "/rules": ["examples pass, 0 fail", "failed-login-burst", "T1110"],
    "/ask": ["Nothing asked yet."],
}
EMPTY = {
    "/": ["No partition has been read yet.", "No alert is waiting.", "No user is known yet."],
    "/alerts": ["No alert: waiting, severity any.", "No alert is selected."],
    "/users": ["No user is known yet."],
    "/runs": ["No batch run has been published yet.", "There are no two runs to compare yet."],
    "/transactions": ["The stream is not started", "No analysis has completed yet"],
    "/seams": ["No partition has been read yet."],
    "/system": ["No speed instance owns a partition."],
}
PHONE = {"width": 390, "height": 844}
WITHIN_SECONDS = 1.0


@pytest.mark.parametrize("path", PAGES)
def test_a_page_shows_real_data_and_fits_a_phone(page, path):
    page.goto(path)

    assert page.get_by_role("heading", level=1).count() == 1
    for words in PAGES[path]:
        page.get_by_text(words).first.wait_for(timeout=60_000)
    assert "Cannot be shown" not in page.inner_text("main")
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_pages_say_what_is_missing_while_there_is_no_data(browser, without_data):
    context = browser.new_context(base_url=without_data)
    opened = context.new_page()
    failures = []
    opened.on("pageerror", lambda error: failures.append(str(error)))
    for path, told in EMPTY.items():
        opened.goto(path)
        for words in told:
            opened.get_by_text(words).first.wait_for(timeout=20_000)
    context.close()

    assert failures == []


def test_the_api_page_needs_no_network(page, dashboard):
    page.goto("/docs")
    page.get_by_text("/api/events/count").first.wait_for()

    addresses = page.evaluate("performance.getEntriesByType('resource').map(each => each.name)")
    assert {each.rsplit("/", 1)[-1] for each in addresses} >= {
        "swagger-ui-bundle.js",
        "swagger-ui.css",
        "openapi.json",
    }
    assert all(each.startswith(dashboard.url) for each in addresses)


def test_an_alert_appears_within_a_second_of_its_event(page, dashboard):
    page.goto("/")
    page.get_by_text("old burst").wait_for()
    took = []
    for number in range(5):  # the machine may be busy with something else: the best of five counts
        started = time.monotonic()
        dashboard.raise_alert(user_id="carol", description=f"burst {number} of failures")
        page.get_by_text(f"burst {number} of failures").wait_for()
        took.append(time.monotonic() - started)
        if took[-1] < WITHIN_SECONDS:
            break

    assert min(took) < WITHIN_SECONDS, took


def test_what_an_attacker_writes_stays_text(page, dashboard):
    hostile = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>"
    dashboard.raise_alert(user_id=hostile, description=hostile)

    page.goto("/alerts")
    page.get_by_text("<b>bold</b>").first.wait_for()
    page.get_by_role("link", name=hostile).first.click()
    page.get_by_role("heading", level=1, name=f"User {hostile}").wait_for()

    assert page.locator("img[src=x]").count() == 0
    assert page.title() != "owned"


def test_dark_and_light_follow_the_system_until_chosen(page):
    def ground() -> str:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    page.emulate_media(color_scheme="dark")
    page.goto("/seams")
    page.get_by_role("button", name="Theme: auto").wait_for()
    assert ground() == "rgb(17, 22, 28)"
    page.get_by_role("button", name="Theme: auto").click()
    page.get_by_role("button", name="Theme: dark").click()
    page.get_by_role("button", name="Theme: light").wait_for()
    page.wait_for_function(
        "getComputedStyle(document.body).backgroundColor == 'rgb(255, 255, 255)'"
    )

    page.reload()
    page.get_by_role("button", name="Theme: light").wait_for()
    assert ground() == "rgb(255, 255, 255)"


def test_keyboard_and_screen_reader_find_their_way(page):
    page.goto("/alerts")
    page.get_by_role("grid", name="Alert queue").wait_for()

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    assert page.get_by_role("navigation", name="Pages").count() == 1
    assert page.get_by_role("main").count() == 1
    assert page.locator("nav a[aria-current=page]").inner_text() == "Alerts"
    assert page.locator("html").get_attribute("lang") == "en-US"
    for field in ("Your name", "Comment", "Show", "Severity"):
        assert page.get_by_label(field, exact=True).count() >= 1, field


def test_a_page_says_that_it_loads_until_there_is_an_answer(dashboard):
    assert "Loading" in dashboard.http.get("/transactions").text


def test_a_failure_is_told_and_what_was_shown_stays(page, dashboard):
    page.goto("/users/nobody-of-this-name")
    page.get_by_text("Cannot be shown: neither layer knows a user").first.wait_for()

    page.goto("/")
    page.get_by_text("Complete and current").wait_for()
    dashboard.speed.refuse = 503
    try:
        page.get_by_text(re.compile("^Incomplete: ")).wait_for(timeout=20_000)
        assert page.get_by_text("security-events/0").count() > 0
    finally:
        dashboard.speed.refuse = None
    page.get_by_text("Complete and current").wait_for(timeout=20_000)


def test_an_answer_arrives_with_evidence_to_click(page):
    page.goto("/ask")
    page.get_by_label("Question").fill("Is user mallory anomalous?")
    page.get_by_label("Question").press("Enter")

    page.get_by_text("Verdict", exact=True).wait_for(timeout=60_000)
    page.get_by_role("link", name="E1", exact=True).first.click()
    page.get_by_text("is_anomaly").first.wait_for()
    page.get_by_role("link", name="open user").first.click()
    page.get_by_role("heading", level=1, name="User mallory").wait_for()
