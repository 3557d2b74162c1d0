"""The command from wheels, in an environment that has nothing else of this repository."""

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.integration
def test_every_member_has_a_wheel_and_the_command_runs_from_them(tmp_path):
    build = ROOT / "local-stack" / "scripts" / "wheels.sh"

    done = subprocess.run([build, tmp_path], capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stderr
    assert f"streamguard {version('streamguard-cli')}\n" in done.stdout
    assert "ok  brute-force-source" in done.stdout
    members = {file.parent.name.replace("-", "_") for file in ROOT.glob("*/pyproject.toml")}
    wheels = {
        file.name.split("-")[0].removeprefix("streamguard_") for file in tmp_path.glob("*.whl")
    }
    assert wheels == members
