import pytest

from detection import Engine, RuleError, sigma

RULE = """
title: Odd thing
name: odd-thing
logsource: {product: streamguard}
detection:
  one:
    SELECTION
  condition: one
level: high
tags: [attack.credential-access, attack.t1110.003]
streamguard: {OPTIONS}
examples:
  positive: [{name: fits, events: [{event: {status: failed}}]}]
  negative: [{name: differs, events: [{event: {}}]}]
"""
CORRELATION = """
title: Part
name: part
logsource: {product: streamguard}
detection:
  one: {status: failed}
  condition: one
---
title: Whole
name: whole
correlation:
  BODY
level: medium
streamguard: {OPTIONS}
examples:
  positive: [{name: fits, events: [{event: {status: failed}}]}]
  negative: [{name: differs, events: [{event: {}}]}]
"""
START = 1_767_225_600_000
COUNT = (
    "type: event_count\n  rules: [part]\n  group-by: [user]\n  timespan: 5m\n  condition: {gte: 2}"
)


@pytest.fixture
def load(tmp_path):
    def load_text(text):
        path = tmp_path / "rule.yml"
        path.write_text(text)
        return sigma.load(path)

    return load_text


def rule(selection="status: failed", options=""):
    return RULE.replace("SELECTION", selection).replace("OPTIONS", options)


def correlation(body=COUNT, options=""):
    return CORRELATION.replace("BODY", body).replace("OPTIONS", options)


@pytest.mark.parametrize(
    ("text", "rule_id", "reason"),
    [
        pytest.param(rule("threat_score|gt: 0.5"), "odd-thing", "never an input", id="leak"),
        pytest.param(rule("Image: a.exe"), "odd-thing", "no field 'Image'", id="unknown-field"),
        pytest.param(rule("port: ssh"), "odd-thing", "port is a number", id="text-for-number"),
        pytest.param(rule("status: 5"), "odd-thing", "status is text", id="number-for-text"),
        pytest.param(rule("user|fieldref: hostname"), "odd-thing", "FieldRef", id="fieldref"),
        pytest.param(rule("user|expand: '%admins%'"), "odd-thing", "placeholders", id="expand"),
        pytest.param(rule("domain|re: '(?=a)b'"), "odd-thing", "", id="look-ahead"),
        pytest.param(rule("domain|re: '('"), "odd-thing", "", id="broken-expression"),
        pytest.param(
            rule().replace("  one:\n    status: failed", "  one: [mimikatz]"),
            "odd-thing",
            "keywords",
            id="keywords",
        ),
        pytest.param(
            rule().replace("condition: one", "condition: two"), "odd-thing", "two", id="condition"
        ),
        pytest.param(
            rule().replace("product: streamguard", "product: windows"),
            "odd-thing",
            "logsource.product",
            id="other-product",
        ),
        pytest.param(rule(options="supress: 1h"), "odd-thing", "supress", id="misspelt-option"),
        pytest.param(
            rule(options="suppress: soon"), "odd-thing", "streamguard.suppress:", id="no-time"
        ),
        pytest.param(rule(options='words: "{secret}"'), "odd-thing", "secret", id="words"),
        pytest.param(
            rule().replace("negative:", "positive_too:"), "odd-thing", "examples", id="bad-examples"
        ),
        pytest.param(
            rule()[: rule().index("  negative:")], "odd-thing", "negative", id="no-negative-example"
        ),
        pytest.param(correlation(COUNT.replace("gte", "lte")), "whole", "lte", id="at-most"),
        pytest.param(
            correlation(COUNT.replace("event_count", "value_sum").replace("2}", "2, field: port}")),
            "whole",
            "value_sum",
            id="sum",
        ),
        pytest.param(
            correlation(COUNT.replace("  group-by: [user]\n", "")),
            "whole",
            "group-by",
            id="no-group",
        ),
        pytest.param(
            correlation(COUNT.replace("[user]", "[command_line]")), "whole", "grouped", id="uncoded"
        ),
        pytest.param(correlation(COUNT.replace("2}", "201}")), "whole", "above 200", id="too-many"),
        pytest.param(correlation(COUNT.replace("5m", "30d")), "whole", "7 days", id="too-long"),
        pytest.param(correlation(COUNT.replace("[part]", "[gone]")), "", "gone", id="no-such-rule"),
        pytest.param(
            correlation(COUNT + "\n  aliases: {who: {part: user}}"),
            "whole",
            "aliases",
            id="aliases",
        ),
        pytest.param(
            rule().replace("level:", "leevl:"), "odd-thing", "no key leevl", id="misspelt-key"
        ),
        pytest.param(rule().replace("level: high\n", ""), "odd-thing", "level:", id="no-level"),
        pytest.param(
            rule().replace("  condition: one", "  condition: one\n  timeframe: 5m"),
            "odd-thing",
            "detection.timeframe",
            id="timeframe",
        ),
        pytest.param(
            rule().replace("t1110.003", "t11"), "odd-thing", "tags: attack.t11", id="no-technique"
        ),
        pytest.param(
            rule().replace("{event: {}}", "{event: {port: ssh}}"),
            "odd-thing",
            "examples.negative.0.events.0.event: Value error, port: 'ssh' is no int",
            id="example-of-another-type",
        ),
        pytest.param(
            correlation(COUNT.replace("2}", "2.5}")), "whole", "condition: 2.5", id="half-a-count"
        ),
        pytest.param("a: [", "", "YAML", id="no-yaml"),
        pytest.param("", "", "no rule", id="empty"),
        pytest.param("title: x", "document 1", "no name", id="no-name"),
        pytest.param(rule() + "---" + rule(), "odd-thing", "taken", id="name-twice"),
    ],
)
def test_what_is_not_supported_is_refused_with_the_reason(load, tmp_path, text, rule_id, reason):
    with pytest.raises(RuleError) as caught:
        load(text)

    assert (caught.value.file, caught.value.rule_id) == (str(tmp_path / "rule.yml"), rule_id)
    assert reason in caught.value.reason


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RuleError, match=r"gone\.yml"):
        sigma.load(tmp_path / "gone.yml")


@pytest.mark.parametrize(
    ("selection", "matching", "other"),
    [
        ("status: FAILED", {"status": "failed"}, {"status": "success"}),
        ("user|cased: Alice", {"user": "Alice"}, {"user": "alice"}),
        ("user|startswith: adm", {"user": "ADMIN"}, {"user": "badmin"}),
        ("domain|endswith: .invalid", {"domain": "a.invalid"}, {"domain": "a.invalid.example"}),
        ("file_path: '/etc/*/key?.pem'", {"file_path": "/etc/a/key1.pem"}, {"file_path": "/etc/key1.pem"}),
        ("domain|re: '^[a-f0-9]{4}\\.'", {"domain": "beef.example"}, {"domain": "fish.example"}),
        ("source_ip|cidr: 10.0.0.0/8", {"source_ip": "10.9.9.9"}, {"source_ip": "printer-7"}),
        ("port: [22, 23]", {"port": 23}, {"port": 24}),
        ("port|gt: 1024", {"port": 1025}, {"port": 1024}),
        ("bytes_transferred|gte: 1000", {"bytes_transferred": 1000}, {"bytes_transferred": 999}),
        ("bytes_transferred|lt: 10", {"bytes_transferred": 0}, {}),
        ("command_line|contains|all: [a, b]", {"command_line": "b a"}, {"command_line": "b"}),
        ("destination_ip: null", {}, {"destination_ip": "10.0.0.1"}),
        ("hostname|exists: true", {"hostname": "ws"}, {}),
        ("country: KP", {"geo_location": "KP-PYO"}, {"geo_location": "US-KP"}),
        ("network: 10.0.0.0/24", {"source_ip": "10.0.0.77"}, {"source_ip": "10.0.1.77"}),
        ("new_country: false", {}, None),
        ("status|neq: failed", {"status": "success"}, {"status": "failed"}),
        ("command_line|windash|contains: ' -enc '", {"command_line": "a /enc b"}, {"command_line": "enc"}),
        ("command_line|base64offset|contains: secret", {"command_line": "echo c2VjcmV0 |"}, {"command_line": "secret"}),
    ],
)  # fmt: skip
def test_selections(load, batch, selection, matching, other):
    rules = load(rule(selection))

    assert len(Engine(rules=rules).process(batch(matching)).alerts) == 1
    if other is not None:
        assert Engine(rules=rules).process(batch(other)).alerts == []


def test_selections_by_not_and_or(load, batch):
    text = rule().replace(
        "condition: one", "two: {port: 22}\n  condition: one and not two or two and user"
    )
    text = text.replace("detection:\n", "detection:\n  user: {user: bob}\n")
    events = [
        {"status": "failed"},
        {"status": "failed", "port": 22},
        {"port": 22, "user": "bob"},
        {"user": "bob"},
    ]
    found = [len(Engine(rules=load(text)).process(batch(event)).alerts) for event in events]

    assert found == [1, 0, 1, 0]


def test_alert_of_a_rule(load, batch):
    options = 'version: 7, alert_type: ODD, words: "{user} did {status} on {port}", resolved: true'
    event = {"status": "failed", "source_ip": "10.0.0.1", "event_id": "e1"}
    [(row, alert)] = Engine(rules=load(rule(options=options))).process(batch(event)).alerts

    assert row == 0
    assert (alert.rule_id, alert.rule_version, alert.alert_type) == ("odd-thing", "7", "ODD")
    assert (alert.severity, alert.techniques, alert.resolved) == ("HIGH", ["T1110.003"], True)
    assert alert.description == "alice did failed on none"
    assert (alert.event_ids, alert.source_ips, alert.event_count) == (["e1"], ["10.0.0.1"], 1)


def test_suppression_per_entity(load, batch):
    rules = load(rule(options="suppress: 10m"))
    events = [
        {"status": "failed", "user": user, "timestamp": START + minute * 60_000}
        for minute in range(25)
        for user in ("alice", "bob")
    ]
    alerts = Engine(rules=rules).process(batch(*events)).alerts

    assert [alert.user_id for _, alert in alerts] == ["alice", "bob"] * 3
    assert len({alert.alert_id for _, alert in alerts}) == 6


def test_more_evidence_is_said_once_with_its_own_severity(load, batch):
    rules = load(correlation(options="escalate: {count: 5, level: critical}"))
    events = [{"status": "failed", "timestamp": START} for _ in range(12)]
    alerts = [alert for _, alert in Engine(rules=rules).process(batch(*events)).alerts]

    assert [(alert.severity, alert.event_count) for alert in alerts] == [
        ("MEDIUM", 2),
        ("CRITICAL", 5),
    ]
    assert alerts[0].alert_id != alerts[1].alert_id


def test_a_rule_without_level_raises_nothing(load, batch):
    text = correlation()
    rules = load(text)
    events = [{"status": "failed"}, {"status": "failed"}]

    assert [a.rule_id for _, a in Engine(rules=rules).process(batch(*events)).alerts] == ["whole"]


def test_examples_say_what_came(load):
    wrong = rule().replace(
        "{name: differs, events: [{event: {}}]}",
        "{name: differs, events: [{event: {status: failed}}]}",
    )
    outcomes = sigma.run_examples(load(wrong))

    assert [
        (one.rule_id, one.example, one.expected, one.raised, one.passed) for one in outcomes
    ] == [
        ("odd-thing", "fits", None, 1, True),
        ("odd-thing", "differs", 0, 1, False),
    ]


def test_the_builtin_rules_are_those_of_this_version():
    # Other rules give the same events other alerts: change detection.engine.VERSION with them.
    from detection import VERSION

    assert (VERSION, sigma.builtin_rules().fingerprint) == ("7", "9860f41cb032d73d")


def test_every_builtin_rule_names_a_technique():
    rules = [each.rule for each in sigma.builtin_rules().correlations if each.rule is not None]

    assert len(rules) >= 10
    assert [rule.rule_id for rule in rules if not rule.techniques] == []
