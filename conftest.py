"""Imports the packages whose folders bear their names, and keeps a package's tests together.

With ``--import-mode=importlib`` pytest names test modules after their folders
(``contracts.tests.test_lake``) and would register the folder ``contracts/`` as the package
``contracts``, unless the real one is already imported.
"""

from pathlib import Path

import pytest

import contracts  # noqa: F401 - imported for its place in sys.modules
import detection  # noqa: F401 - likewise

ROOT = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give a package's tests to one worker of ``make test``: they share brokers and sessions."""
    for item in items:
        package = item.path.relative_to(ROOT).parts[0]
        item.add_marker(pytest.mark.xdist_group(package))
