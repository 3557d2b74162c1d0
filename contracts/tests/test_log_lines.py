import json
import logging
import subprocess
import sys

import pytest
from pydantic import BaseModel, ValidationError

from contracts import request_ids
from contracts.log_lines import ConsoleLines, JsonLines, LogSettings, at, described, exception_text


class Event(BaseModel):
    user: str
    bytes: int


def line(**fields):
    record = logging.LogRecord("speed_layer.store", logging.INFO, "", 0, "%s[%d]", ("t", 1), None)
    record.created = 1_700_000_000.25
    record.__dict__.update(fields)
    return record


def failed(work):
    with pytest.raises(Exception) as caught:  # noqa: PT011  # any
        work()
    return caught.value


USER, ADDRESS = "ada.lovelace", "10.9.8.7"


def wrapped():
    try:
        Event(user=USER, bytes=ADDRESS)
    except ValidationError as error:
        raise KeyError(USER) from error


def test_a_json_line_has_the_fields_that_every_service_has():
    written = json.loads(JsonLines("speed-layer").format(line(**at("t", 1, 7), request_id="a-1")))

    assert written == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "INFO",
        "service": "speed-layer",
        "logger": "speed_layer.store",
        "message": "t[1]",
        "topic": "t",
        "partition": 1,
        "offset": 7,
        "request_id": "a-1",
    }


def test_a_console_line_is_read_from_left_to_right():
    formatter = ConsoleLines()

    assert formatter.format(line()) == "2023-11-14T22:13:20.250Z INFO speed_layer.store t[1]"
    assert formatter.format(line(request_id="a-1")).endswith("t[1] request_id=a-1")


def test_an_exception_is_written_without_the_values_it_quotes():
    error = failed(wrapped)
    record = line(exc_info=(type(error), error, error.__traceback__))
    written = json.loads(JsonLines("speed-layer").format(record))["exception"]

    assert USER not in written
    assert ADDRESS not in written
    assert "ValidationError: bytes: int_parsing" in written
    assert written.endswith("KeyError")
    assert "in wrapped" in written
    assert written in ConsoleLines().format(record)
    assert "KeyError: 'ada.lovelace'" in exception_text(error, with_words=True)


def test_a_full_disk_keeps_its_words():
    assert described(OSError(28, "No space left on device")).endswith("No space left on device")


def test_a_wrong_setting_says_how_to_set_it_right_and_not_what_was_set(monkeypatch):
    monkeypatch.setenv("LOG_FORMAT", "hunter2")

    assert described(failed(LogSettings)) == (
        "ValidationError: format: Input should be 'console' or 'json'"
    )


def test_settings_are_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("LOG_FORMAT", "json")
    monkeypatch.setenv("LOG_LEVEL", "warning")

    assert (LogSettings().format, LogSettings().level) == ("json", "WARNING")


def test_a_process_writes_every_line_alike_its_last_words_too():
    code = (
        "import sys\n"
        "import logging, warnings; from contracts import log_lines, request_ids\n"
        "log_lines.configure('speed-layer')\n"
        "request_ids.current.set('a-1')\n"
        "logging.getLogger('x').info('one')\n"
        "logging.getLogger('httpx').info('not written')\n"
        "warnings.warn('two')\n"
        "raise KeyError(sys.argv[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", code, USER],
        env={"LOG_FORMAT": "json"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(each) for each in done.stderr.splitlines()]

    assert done.returncode == 1
    assert [each["level"] for each in lines] == ["INFO", "WARNING", "CRITICAL"]
    assert all(each["service"] == "speed-layer" for each in lines)
    assert all(each["request_id"] == "a-1" for each in lines)
    assert USER not in done.stderr


async def answered(scope, status=200):
    sent = []

    async def app(scope, receive, send):
        headers = [(b"x-request-id", b"another")]
        await send({"type": "http.response.start", "status": status, "headers": headers})

    async def send(message):
        sent.append(message)

    await request_ids.RequestIds(app)(scope, None, send)
    return dict(sent[0]["headers"])[b"x-request-id"].decode()


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [
        pytest.param(b"ticket-17", True, id="good"),
        pytest.param(b"two\nlines", False, id="would-break-a-line"),
        pytest.param(b"x" * 65, False, id="too-long"),
    ],
)
def test_a_given_request_id_is_returned_if_it_can_be_logged(given, is_kept):
    scope = {"type": "http", "headers": [(b"x-request-id", given)]}
    coroutine = answered(scope)
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    returned = ended.value.value

    assert (returned == given.decode()) is is_kept
    assert is_kept or len(returned) == 16
