from streamguard_cli.__main__ import main


def test_this_machine_is_examined(monkeypatch, capfd, tmp_path):
    monkeypatch.setenv("STACK_DIR", str(tmp_path))

    main(["doctor"])

    said = capfd.readouterr().out
    assert "Python" in said
    assert "jars for kafka" in said


def test_without_the_local_stack_it_says_what_to_ask_instead(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    assert main(["doctor"]) == 1
    assert "streamguard status" in capsys.readouterr().err
