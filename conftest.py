"""Imports the packages whose folders bear their names, and keeps a package's tests together.

With ``--import-mode=importlib`` pytest names test modules after their folders
(``contracts.tests.test_lake``) and would register the folder ``contracts/`` as the package
``contracts``, unless the real one is already imported.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

import contracts  # noqa: F401 - imported for its place in sys.modules
import detection  # noqa: F401 - likewise


class PackageScheduling(LoadScopeScheduling):
    """Gives a package's tests to one worker of ``make test``: they share brokers and sessions.

    The batch layer's would keep one worker busy long after the other has nothing left to do: those
    of transactions, in a folder of their own, are a package by themselves.
    """

    def _split_scope(self, nodeid: str) -> str:
        package, *folders = nodeid.split("::")[0].split("/")[:-1]
        return "/".join([package, *folders[1:]]) if package == "batch-layer" else package


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> PackageScheduling:
    """Replace the scheduler that ``--dist`` names."""
    return PackageScheduling(config, log)
