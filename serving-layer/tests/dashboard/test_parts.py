"""The parts of pages that need no browser."""

import asyncio
import sys
from datetime import timedelta

import pytest
from starlette.requests import Request

from serving_layer.app import create_app
from serving_layer.dashboard import html
from serving_layer.dashboard.api import Api, ApiError
from serving_layer.dashboard.rules import RuleTests
from serving_layer.dashboard.transactions import chart, windows_of
from serving_layer.settings import Settings


def test_a_page_may_do_what_its_viewers_key_may(tmp_path):
    (tmp_path / "lake").mkdir()
    settings = Settings(
        _env_file=None,
        lake_dir=tmp_path / "lake",
        data_dir=tmp_path / "data",
        speed_urls="http://127.0.0.1:9",
        require_keys=True,
        run_check_interval=timedelta(seconds=60),
    )
    app = create_app(settings)

    def viewer(key: str | None) -> Api:
        given = [(b"host", b"127.0.0.1")]
        if key is not None:
            given.append((b"authorization", f"Bearer {key}".encode()))
        scope = {"type": "http", "headers": given, "client": ("127.0.0.1", 1)}
        return Api(app, Request(scope))

    async def visit() -> list[int]:
        async with app.router.lifespan_context(app):
            _, key = app.state.services.keys.create("reader", "read", None)
            assert (await viewer(key).get("/api/health/status"))["ready"] is False
            statuses = []
            for each in (key, None):
                with pytest.raises(ApiError) as refused:
                    await viewer(each).post("/api/alerts/actions", {})
                statuses.append(refused.value.status)
            return statuses

    assert asyncio.run(visit()) == [403, 401]


@pytest.mark.parametrize(
    ("command", "reason"),
    [("import sys; sys.exit('no such verb')", "no such verb"), ("print('no json')", "exit code 0")],
)
def test_rules_that_cannot_be_asked_for_say_why(command, reason):
    tests = RuleTests((sys.executable, "-c", command))

    with pytest.raises(ApiError, match=reason):
        asyncio.run(tests.rules())


def test_text_is_escaped_everywhere():
    made = html.join(
        [
            html.table("<t>", ["<c>"], [["<v>"]]),
            html.bars("<t>", [("<v>", 1.0, "<w>")]),
            html.columns("<t>", [("<l>", 1.0)]),
            html.record({"<k>": {"<n>": "<v>"}}),
            html.link("/users/", '"><script>'),
        ]
    )

    for letter in "tcvwlkn":
        assert f"<{letter}>" not in made
    assert "<script>" not in made
    assert 'href="/users/%22%3E%3Cscript%3E"' in made


def test_windows_are_summed_over_categories_oldest_first():
    def row(start, category, revenue):
        names = {"window_start": start, "category": category, "window_revenue": revenue}
        return {**names, "txn_count": 2, "fraud_alerts": 1}

    rows = [
        row("2026-01-01T12:01:00Z", "Books", 5.0),
        row("2026-01-01T12:00:00Z", "Books", 1.0),
        row("2026-01-01T12:00:00Z", "Sports", 2.5),
    ]

    assert windows_of(rows) == [
        {"name": "2026-01-01 12:00", "transactions": 4, "revenue": 3.5, "fraud": 2},
        {"name": "2026-01-01 12:01", "transactions": 2, "revenue": 5.0, "fraud": 1},
    ]


def test_an_analysis_that_no_chart_is_known_for_is_counted():
    assert "2 rows" in chart("new_analysis", [{}, {}])
