import socket
import sqlite3

import pytest

from local_stack.doctor import Finding, Verdict, examine, findings_table
from local_stack.settings import Settings


def settings(tmp_path, **values) -> Settings:
    port = values.pop("kafka_port", 1)  # nothing listens there
    return Settings(_env_file=None, dir=tmp_path / "stack", kafka_port=port, **values)


def found(findings) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


def test_a_machine_that_is_fit_is_told_so(tmp_path):
    findings = found(examine(settings(tmp_path), None))

    assert findings["Python"].verdict is Verdict.OK
    assert findings["Java"].verdict is Verdict.OK
    assert findings["jars for kafka"].verdict is Verdict.OK
    assert findings["broker"].found.endswith("make up starts one")


def test_jars_that_are_not_there_are_a_failure_with_a_remedy(tmp_path):
    findings = found(examine(settings(tmp_path, tools_dir=tmp_path / "none"), None))

    assert findings["jars for spark"].verdict is Verdict.FAILED
    assert findings["jars for spark"].remedy == "make setup"


def test_a_taken_port_names_its_owner_and_its_setting(tmp_path, dummies):
    stack = dummies.stack()
    variable, port = next(iter(stack.services[1].ports.items()))
    with socket.create_server(("127.0.0.1", port)):
        findings = found(examine(settings(tmp_path), stack))

    assert findings[f"port {port}"].verdict is Verdict.FAILED
    assert variable in findings[f"port {port}"].remedy


def test_services_of_a_running_stack_are_asked(tmp_path, dummies, up):
    stack = dummies.stack()
    up(stack)

    findings = found(examine(settings(tmp_path), stack))

    assert findings["first"].found == "ready"
    assert findings["broker"].verdict is Verdict.FAILED


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""])
def test_a_damaged_store_is_named_with_what_to_do(tmp_path, content):
    chosen = settings(tmp_path)
    folder = chosen.dir / "speed" / "security-events"
    folder.mkdir(parents=True)
    (folder / "0.sqlite").write_bytes(content)
    with sqlite3.connect(folder / "1.sqlite") as store:
        store.execute("CREATE TABLE meta (name TEXT, value TEXT)")
        store.execute("INSERT INTO meta VALUES ('layout', '3'), ('version', '4 calibrated')")
    store.close()

    findings = found(examine(chosen, None))

    assert findings["store security-events/0"].verdict is Verdict.FAILED
    assert "rebuilt from run and log" in findings["store security-events/0"].remedy
    assert findings["store security-events/1"].found == "layout 3, version 4 calibrated"


def test_the_table_shows_remedies(console):
    console.print(findings_table([Finding("disk", Verdict.FAILED, "0 [GiB]", "free some")]))

    assert "0 [GiB]" in console.export_text(clear=False)
    assert "-> free some" in console.export_text()
