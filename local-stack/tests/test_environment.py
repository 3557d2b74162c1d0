import re
from pathlib import Path

import pytest

from local_stack.__main__ import main
from local_stack.environment import derived, service_environment
from local_stack.errors import ServiceError
from local_stack.java import Java
from local_stack.layout import repository_root
from local_stack.procfile import read_procfile
from local_stack.services import services_of
from local_stack.settings import Settings

JAVA = Java(Path("/java"), 17, "17")


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[call-arg, arg-type]


@pytest.mark.parametrize(
    ("field", "names"),
    [
        ("kafka_port", ["SPEED_KAFKA_BOOTSTRAP_SERVERS", "BATCH_KAFKA_BOOTSTRAP_SERVERS",
                        "SERVING_KAFKA_BOOTSTRAP_SERVERS", "STACK_KAFKA_PORT"]),
        ("speed_port", ["SPEED_PORT", "SERVING_SPEED_URLS"]),
        ("batch_port", ["BATCH_PORT", "SERVING_BATCH_URL", "ASSISTANT_BATCH_URL"]),
        ("serving_port", ["SERVING_PORT", "ASSISTANT_SERVING_URL"]),
        ("assistant_port", ["ASSISTANT_PORT", "SERVING_ASSISTANT_URL"]),
        ("dashboard_port", ["SERVING_DASHBOARD_PORT"]),
    ],
)  # fmt: skip
def test_a_changed_port_reaches_every_service(field: str, names: list[str]) -> None:
    values = derived(settings(**{field: 15_555}))
    assert {name for name, value in values.items() if "15555" in value} == set(names)


def test_what_is_derived_wins_over_the_environment_and_that_over_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("SPEED_PORT=1\nSPEED_SCORER=reference\nOPENAI_MODEL=a\nOPENAI_API_KEY=\n")
    monkeypatch.setenv("OPENAI_MODEL", "b")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    values = service_environment(settings(speed_port=15_001), JAVA, env_file)
    assert values["SPEED_PORT"] == "15001"
    assert values["SPEED_SCORER"] == "reference"
    assert values["OPENAI_MODEL"] == "b"
    assert "OPENAI_API_KEY" not in values
    assert values["JAVA_HOME"] == "/java"


def test_the_procfile_names_the_services_the_stack_knows() -> None:
    commands = read_procfile(repository_root() / "Procfile")
    assert list(commands) == [service.name for service in services_of(settings())]


def test_a_procfile_that_names_nothing_is_refused(tmp_path: Path) -> None:
    procfile = tmp_path / "Procfile"
    with pytest.raises(ServiceError, match="no Procfile"):
        read_procfile(procfile)
    procfile.write_text("# nothing\n")
    with pytest.raises(ServiceError, match="names no service"):
        read_procfile(procfile)


def test_a_bad_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STACK_KAFKA_PORT", "70000")
    assert main(["status"]) == 2
    assert (
        "STACK_KAFKA_PORT: Input should be less than or equal to 65535" in capsys.readouterr().err
    )


def test_every_setting_is_in_the_readme_and_every_example_is_a_setting() -> None:
    names = {f"STACK_{field}".upper() for field in Settings.model_fields}
    readme = (repository_root() / "local-stack" / "README.md").read_text()
    example = (repository_root() / ".env.example").read_text()
    assert set(re.findall(r"`(STACK_\w+)`", readme)) == names
    assert set(re.findall(r"^(STACK_\w+)=", example, re.MULTILINE)) <= names
