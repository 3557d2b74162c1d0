import re
from pathlib import Path

from batch_layer.app import create_app
from batch_layer.settings import Settings

PAGE = (Path(__file__).parents[1] / "reference" / "batch-api.md").read_text()


def test_the_walk_shows_every_route_of_the_control_api_and_no_other():
    paths = create_app(Settings()).openapi()["paths"]

    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    shown = re.findall(r"^## ((?:GET|POST|DELETE|PUT|PATCH) .*)$", PAGE, re.MULTILINE)
    assert set(shown) == routes, "run python docs/walk_batch_api.py"
    assert len(shown) == len(routes)


def test_every_route_has_an_answer():
    for section in PAGE.split("\n## ")[1:]:
        assert re.search(r"^HTTP \d{3}$", section, re.MULTILINE), section.splitlines()[0]
