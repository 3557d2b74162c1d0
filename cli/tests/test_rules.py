import json

import pytest

from detection.sigma import BUILTIN
from streamguard_cli.__main__ import main

BURST = BUILTIN / "failed-login-burst.yml"


def edited(path, old, new):
    text = BURST.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return str(path)


def test_rules_that_detection_takes_are_named(capsys):
    assert main(["rules", "check", str(BURST)]) == 0
    assert capsys.readouterr().out.startswith("ok  failed-login-burst (version ")


def test_the_examples_of_a_file_run(capsys):
    assert main(["rules", "test", str(BURST)]) == 0
    out = capsys.readouterr().out
    assert "ok      failed-login-burst: three users\n" in out
    assert out.endswith(" passed, 0 failed\n")


def test_an_example_that_does_not_hold_fails(tmp_path, capsys):
    file = edited(tmp_path / "rule.yml", "condition: {gte: 3}", "condition: {gte: 4}")

    assert main(["rules", "test", file]) == 1
    out = capsys.readouterr().out
    assert "FAILED  failed-login-burst: the third failure within five minutes\n" in out
    assert "expected alerts: 1; raised: 0\n" in out


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("status: failed", "status|fieldref: user", "FieldReference"),
        ("timespan: 5m", "timespan: soon", "soon"),
    ],
)
def test_what_is_not_supported_is_refused_with_the_reason(tmp_path, capsys, old, new, reason):
    file = edited(tmp_path / "rule.yml", old, new)

    assert main(["rules", "check", file]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"streamguard: {file}: ")
    assert reason in said


def test_no_such_file(capsys):
    assert main(["rules", "check", "/no/such/file"]) == 1
    assert capsys.readouterr().err == "streamguard: /no/such/file: no such file or folder\n"


def test_rules_and_their_examples_as_json(capsys):
    assert main(["rules", "test", str(BURST), "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    [rule] = body["rules"]
    assert (rule["rule_id"], rule["severity"]) == ("failed-login-burst", "HIGH")
    assert (body["failed"], body["passed"]) == (0, len(rule["examples"]))
