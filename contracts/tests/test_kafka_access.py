import pytest
from pydantic import ValidationError

from contracts.kafka_access import KafkaAccess


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in KafkaAccess.model_fields:
        monkeypatch.delenv(f"KAFKA_{name.upper()}", raising=False)


def test_without_settings_clients_speak_plaintext():
    access = KafkaAccess()

    assert access.librdkafka() == {}
    assert access.java() == {}


def test_a_login_over_tls_reads_the_same_for_both_clients(monkeypatch, tmp_path):
    authority, secret = tmp_path / "ca.pem", tmp_path / "password"
    authority.write_text("-----BEGIN CERTIFICATE-----")
    secret.write_text('pass"w\\rd\n')
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KAFKA_SSL_CA_FILE", str(authority))
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "speed")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD_FILE", str(secret))

    access = KafkaAccess()

    assert access.librdkafka() == {
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(authority),
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "speed",
        "sasl.password": 'pass"w\\rd',
    }
    assert access.java() == {
        "security.protocol": "SASL_SSL",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority),
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required "
            'username="speed" password="pass\\"w\\\\rd";'
        ),
    }


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"SECURITY_PROTOCOL": "TLS"}, "security_protocol"),
        ({"SECURITY_PROTOCOL": "SASL_SSL", "SASL_USERNAME": "speed"}, "KAFKA_SASL_PASSWORD"),
        ({"SECURITY_PROTOCOL": "SSL", "SSL_CA_FILE": "/no/such/ca.pem"}, "KAFKA_SSL_CA_FILE"),
        ({"SASL_MECHANISM": "GSSAPI"}, "sasl_mechanism"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(monkeypatch, settings, named):
    for name, value in settings.items():
        monkeypatch.setenv(f"KAFKA_{name}", value)

    with pytest.raises(ValidationError, match=named):
        KafkaAccess()


def test_a_certificate_needs_its_key(monkeypatch, tmp_path):
    certificate = tmp_path / "client.pem"
    certificate.write_text("-----BEGIN CERTIFICATE-----")
    monkeypatch.setenv("KAFKA_SSL_CERTIFICATE_FILE", str(certificate))

    with pytest.raises(ValidationError, match="KAFKA_SSL_KEY_FILE"):
        KafkaAccess()


def test_the_password_is_not_shown(monkeypatch):
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "hunter2")

    assert "hunter2" not in repr(KafkaAccess())


def test_the_password_is_not_in_an_error(monkeypatch):
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "hunter2")

    with pytest.raises(ValidationError, match="KAFKA_SASL_USERNAME") as caught:
        KafkaAccess()

    assert "hunter2" not in str(caught.value)
