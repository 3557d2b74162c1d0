"""The dashboard where keys are asked for: signing in, what a key may not do, a key that ends."""

from contextlib import closing

import pytest

from serving_layer.front_door.keys import KeyStore
from serving_layer.testing import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def visit(browser, keyed):
    """A browser without a key; scripts must not fail, refused requests may be told."""
    context = browser.new_context(base_url=keyed.url)
    opened = context.new_page()
    failures = []
    opened.on("pageerror", lambda error: failures.append(str(error)))
    opened.set_default_timeout(15_000)
    yield opened
    context.close()
    assert failures == []


def sign_in(visit, key):
    visit.get_by_label("Key").fill(key)
    visit.get_by_role("button", name="Sign in").click()


def test_a_visitor_is_asked_for_a_key_gives_it_and_works(visit, keyed, dashboard):
    visit.goto("/alerts?alert=none")
    visit.get_by_text("This server asks for a key").wait_for()
    sign_in(visit, "sgk_000000000000_wrong")
    visit.get_by_text("This key is unknown, expired or revoked.").wait_for()
    assert "old burst" not in visit.content()

    sign_in(visit, keyed.keys["write"])
    visit.get_by_text("old burst").first.wait_for()
    assert visit.url == f"{keyed.url}/alerts?alert=none"
    dashboard.raise_alert(user_id="heidi", description="a burst behind keys")
    visit.get_by_text("a burst behind keys").first.wait_for()
    visit.get_by_label("Your name").fill("dana")
    visit.get_by_role("button", name="Acknowledge (a)").click()
    visit.get_by_text("acknowledge: 1 of 1 alerts").wait_for()

    visit.get_by_role("link", name="Key").click()
    visit.get_by_role("button", name="Sign out").click()
    visit.goto("/")
    visit.get_by_text("This server asks for a key").wait_for()


def test_a_key_of_too_small_a_scope_is_told_which_one_is_needed(visit, keyed):
    visit.goto("/alerts")
    sign_in(visit, keyed.keys["read"])
    visit.get_by_text("old burst").first.wait_for()
    visit.get_by_label("Your name").fill("dana")
    visit.get_by_role("button", name="Resolve (r)").click()

    words = "Not done: this needs a key of scope write; yours has read"
    visit.get_by_text(words).wait_for()


def test_the_assistant_reads_with_the_askers_key(visit, keyed):
    visit.goto("/ask?question=Who+is+riskiest%3F")
    sign_in(visit, keyed.keys["read"])
    visit.get_by_text("the double only listens").wait_for()

    assert keyed.assistant.credentials == [f"Bearer {keyed.keys['read']}"]


def test_a_key_that_ends_is_told_and_another_is_asked_for(visit, keyed):
    with closing(KeyStore(keyed.data)) as store:
        made, text = store.create("a short one", "read")
        visit.goto("/users")
        sign_in(visit, text)
        visit.get_by_role("link", name="mallory").first.wait_for()
        store.revoke(made.id)
    visit.get_by_text("Not current: this key is unknown, expired or revoked").first.wait_for()

    visit.reload()
    visit.get_by_text("This key is unknown, expired or revoked.").wait_for()
    wait_until(lambda: not visit.context.cookies(), "the revoked key is forgotten")
