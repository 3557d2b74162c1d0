"""Write every dashboard as JSON into a folder."""

import argparse
import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from streamguard_dashboards.pages import PAGES


def rendered() -> dict[str, str]:
    """Return the JSON of each dashboard by file name."""
    return {
        f"{name}.json": json.dumps(page().build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"
        for name, page in PAGES.items()
    }


def main() -> None:
    """Write the files and name them."""
    parser = argparse.ArgumentParser(prog="streamguard_dashboards", description=__doc__)
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path("monitoring/grafana/dashboards")
    )
    folder: Path = parser.parse_args().folder
    for name, text in rendered().items():
        (folder / name).write_text(text)
        print(f"wrote {folder / name}")


if __name__ == "__main__":
    main()
