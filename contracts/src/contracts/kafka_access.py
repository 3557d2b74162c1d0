"""How every client proves itself to Kafka: ``KAFKA_*`` settings, alike for all services.

Without any, clients speak PLAINTEXT, as the local stack does.
"""

from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_SCRAM_OR_PLAIN = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


class KafkaAccess(BaseSettings):
    """Transport and login of Kafka clients, for librdkafka and for Spark's Java client."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_", frozen=True, hide_input_in_errors=True)

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Transport to the brokers: with TLS (SSL), with a login (SASL)."
    )
    ssl_ca_file: Path | None = Field(
        None, description="PEM file of the authorities that sign brokers; default: the system's."
    )
    ssl_certificate_file: Path | None = Field(
        None, description="PEM file of the client's certificate, where brokers ask for one."
    )
    ssl_key_file: Path | None = Field(
        None, description="PEM file (PKCS#8, not encrypted) of the certificate's key."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How the login is proved, with SASL."
    )
    sasl_username: str | None = Field(None, description="Login, with SASL.")
    sasl_password: SecretStr | None = Field(None, description="Its password.")
    sasl_password_file: Path | None = Field(
        None, description="A file that holds the password instead; its last line break is dropped."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.ssl_certificate_file is None) != (self.ssl_key_file is None):
            raise ValueError("KAFKA_SSL_CERTIFICATE_FILE and KAFKA_SSL_KEY_FILE need each other")
        for name in ("ssl_ca_file", "ssl_certificate_file", "ssl_key_file", "sasl_password_file"):
            path: Path | None = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"KAFKA_{name.upper()}: no file {path}")
        if self._has_login and (not self.sasl_username or not self.password):
            raise ValueError(
                f"KAFKA_SECURITY_PROTOCOL is {self.security_protocol}: set KAFKA_SASL_USERNAME, and "
                "KAFKA_SASL_PASSWORD or KAFKA_SASL_PASSWORD_FILE"
            )
        return self

    @property
    def password(self) -> str:
        """The login's password, from its variable or file; empty when there is none."""
        if self.sasl_password_file is not None:
            return self.sasl_password_file.read_text(encoding="utf-8").removesuffix("\n")
        return self.sasl_password.get_secret_value() if self.sasl_password else ""

    @property
    def _has_login(self) -> bool:
        return self.security_protocol.startswith("SASL_")

    @property
    def _has_tls(self) -> bool:
        return self.security_protocol.endswith("SSL")

    def librdkafka(self) -> dict[str, str]:
        """Return the options of a confluent-kafka client; empty for PLAINTEXT.

        Names: https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md
        """
        options: dict[str, str] = {}
        if self.security_protocol != "PLAINTEXT":
            options["security.protocol"] = self.security_protocol
        if self._has_tls:
            files = {
                "ssl.ca.location": self.ssl_ca_file,
                "ssl.certificate.location": self.ssl_certificate_file,
                "ssl.key.location": self.ssl_key_file,
            }
            options |= {name: str(path) for name, path in files.items() if path is not None}
        if self._has_login:
            options["sasl.mechanism"] = self.sasl_mechanism
            options["sasl.username"] = self.sasl_username or ""
            options["sasl.password"] = self.password
        return options

    def java(self) -> dict[str, str]:
        """Return the options of a Java client; empty for PLAINTEXT.

        Spark's source and sink take each with ``kafka.`` before its name. PEM instead of key
        stores needs Kafka clients 2.7 (KIP-651).
        """
        options: dict[str, str] = {}
        if self.security_protocol != "PLAINTEXT":
            options["security.protocol"] = self.security_protocol
        if self._has_tls and self.ssl_ca_file is not None:
            options["ssl.truststore.type"] = "PEM"
            options["ssl.truststore.location"] = str(self.ssl_ca_file)
        if self._has_tls and self.ssl_certificate_file is not None and self.ssl_key_file:
            options["ssl.keystore.type"] = "PEM"
            options["ssl.keystore.certificate.chain"] = self.ssl_certificate_file.read_text("utf-8")
            options["ssl.keystore.key"] = self.ssl_key_file.read_text("utf-8")
        if self._has_login:
            options["sasl.mechanism"] = self.sasl_mechanism
            options["sasl.jaas.config"] = (
                f"{_SCRAM_OR_PLAIN[self.sasl_mechanism]} required "
                f"username={_quoted(self.sasl_username or '')} password={_quoted(self.password)};"
            )
        return options


def _quoted(text: str) -> str:
    """Quote a value for a JAAS entry, whose strings escape as Java's do."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@cache
def kafka_access() -> KafkaAccess:
    """Return the process's settings, read once.

    Raises:
        pydantic.ValidationError: a setting is wrong; the message names its variable.
    """
    return KafkaAccess()
