"""Importing this module loads the service and compiles detection: for a process to fork from."""

from speed_layer import fault_testing as fault_testing
from speed_layer.__main__ import compile_detection
from speed_layer.settings import Settings

compile_detection(Settings())
