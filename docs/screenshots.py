"""Photograph the dashboard of the running stack: ``python docs/screenshots.py [URL]`` or ``make screenshots``.

Writes ``docs/images/<name>.png``. A page that says something cannot be shown stops the run, and the
pictures stay as they were.
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from playwright.sync_api import Browser

URL = "http://127.0.0.1:8081"
IMAGES = Path(__file__).parent / "images"
SETTLE_MS = 1_500
DEADLINE_MS = 120_000


@dataclass(frozen=True)
class Shot:
    """One picture: the page, and words that stand on it once it is complete."""

    name: str
    path: str
    words: str
    width: int = 1200
    height: int = 760
    scheme: str = "light"


SHOTS = (
    Shot("overview", "/", "Users by risk"),
    Shot("overview-dark", "/", "Users by risk", scheme="dark"),
    Shot("alerts", "/alerts", "What people did"),
    Shot("alerts-phone", "/alerts", "What people did", width=390, height=844),
    Shot("user", "/users/alice", "Timeline across both layers"),
    Shot("runs", "/runs", "Drift of the newest run"),
    Shot("rules", "/rules", "examples pass"),
    Shot("transactions", "/transactions", "Batches"),
    Shot("consistency", "/seams", "Every offset is"),
    Shot("ask", "/ask?question=Is%20user%20alice%20anomalous%3F", "Sentences that hold"),
    Shot("system", "/system", "What the assistant needs"),
)


def photographed(browser: "Browser", url: str, shot: Shot) -> bytes:
    """Return the picture of a page, as PNG.

    Raises:
        SystemExit: The page says that something cannot be shown.
    """
    context = browser.new_context(
        base_url=url,
        viewport={"width": shot.width, "height": shot.height},
        color_scheme="dark" if shot.scheme == "dark" else "light",
    )
    page = context.new_page()
    page.goto(shot.path)
    page.get_by_text(shot.words).first.wait_for(state="attached", timeout=DEADLINE_MS)
    page.wait_for_function("!document.querySelector('[aria-busy=true]')", timeout=DEADLINE_MS)
    page.wait_for_timeout(SETTLE_MS)  # figures that are asked for once a second
    failed = page.locator(".note.error").all_inner_texts()
    if failed:
        sys.exit(f"{shot.path}: {failed[0]}")
    picture = page.screenshot()
    context.close()
    return picture


def main() -> None:
    """Write every picture."""
    url = sys.argv[1] if len(sys.argv) > 1 else URL
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("there is no chromium: apt-get install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        pictures = {shot.name: photographed(browser, url, shot) for shot in SHOTS}
        browser.close()
    IMAGES.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        (IMAGES / f"{name}.png").write_bytes(picture)
        print(f"docs/images/{name}.png {len(picture) // 1024} KiB")


if __name__ == "__main__":
    main()
