import asyncio

import pytest
from pydantic import ValidationError

from contracts import service_key
from contracts.service_key import KeyCheck, ServiceKey

KEY = "k-0123456789abcdef"


def asked(path, *headers, kind="http"):
    """Return whether the application was asked, and the status it or the check answered."""
    seen = []

    async def application(scope, receive, send):
        seen.append(scope["path"])

    async def send(message):
        seen.append(message.get("status"))

    scope = {"type": kind, "path": path, "headers": list(headers)}
    asyncio.run(KeyCheck(application, KEY)(scope, None, send))
    return seen[0]


def bearer(text):
    return (b"authorization", f"Bearer {text}".encode())


def test_a_call_with_the_key_is_answered():
    assert asked("/segments", bearer(KEY)) == "/segments"


@pytest.mark.parametrize(
    "headers",
    [[], [bearer("")], [bearer(KEY[:-1])], [bearer(KEY + "x")], [(b"x-api-key", KEY.encode())]],
    ids=["none", "empty", "shorter", "longer", "elsewhere"],
)
@pytest.mark.parametrize("path", ["/segments", "/healthy", "/health/", "/docs", "/"])
def test_others_are_refused(path, headers):
    assert asked(path, *headers) == 401


def test_a_socket_is_no_way_around_it():
    assert asked("/segments", kind="websocket") == 401


@pytest.mark.parametrize("path", ["/health", "/metrics"])
def test_supervisors_and_prometheus_need_none(path):
    assert asked(path) == path


def test_the_key_comes_from_its_variable_or_a_file(monkeypatch, tmp_path):
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    assert ServiceKey(_env_file=None).text == ""
    monkeypatch.setenv("SERVICE_KEY_FILE", str(file))
    assert ServiceKey(_env_file=None).text == KEY
    monkeypatch.setenv("SERVICE_KEY", "another-0123456789")
    assert ServiceKey(_env_file=None).text == "another-0123456789"


def test_nothing_behind_the_variables_is_no_key(monkeypatch):
    monkeypatch.setenv("SERVICE_KEY", "")
    monkeypatch.setenv("SERVICE_KEY_FILE", "/dev/null")

    assert ServiceKey(_env_file=None).text == ""


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SERVICE_KEY", "guessed", "shorter than 16"),
        ("SERVICE_KEY_FILE", "/nowhere/key", "no file"),
    ],
)
def test_a_wrong_setting_is_named_without_the_key(monkeypatch, variable, value, said):
    monkeypatch.setenv(variable, value)

    with pytest.raises(ValidationError, match=f"{variable}: {said}") as caught:
        ServiceKey(_env_file=None)

    assert "guessed" not in str(caught.value)


@pytest.fixture
def keyed(monkeypatch):
    monkeypatch.setenv("SERVICE_KEY", KEY)
    service_key.service_key.cache_clear()
    yield
    service_key.service_key.cache_clear()


@pytest.mark.usefixtures("keyed")
def test_calls_to_other_services_carry_it():
    assert service_key.headers() == {"authorization": f"Bearer {KEY}"}
