"""Imports the packages whose folders bear their names.

With ``--import-mode=importlib`` pytest names test modules after their folders
(``contracts.tests.test_lake``) and would register the folder ``contracts/`` as the package
``contracts``, unless the real one is already imported.
"""

import contracts  # noqa: F401 - imported for its place in sys.modules
import detection  # noqa: F401 - likewise
