"""A broker's listener with TLS and a login, for tests; the certificate is made up on the spot."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from local_stack.ports import free_port

_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


@dataclass(frozen=True, slots=True)
class SecureListener:
    """A ``SASL_SSL`` listener on 127.0.0.1 that knows one user.

    ``environment`` is what a client needs; ``properties`` is what the broker does. The user may do
    nothing until something is allowed; who comes by another listener may do everything.
    """

    port: int
    ca_file: Path
    username: str
    password: str
    properties: dict[str, str]

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The ``KAFKA_*`` settings of a client."""
        return {
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SSL_CA_FILE": str(self.ca_file),
            "KAFKA_SASL_MECHANISM": "PLAIN",
            "KAFKA_SASL_USERNAME": self.username,
            "KAFKA_SASL_PASSWORD": self.password,
        }


def secure_listener(folder: Path) -> SecureListener:
    """Make a certificate in ``folder`` and return a listener that uses it, on a free port."""
    username, password = "streamguard", "correct horse"
    key_store, ca_file = folder / "broker.pem", folder / "ca.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _self_signed(key)
    ca_file.write_bytes(certificate)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    key_store.write_bytes(private + certificate)
    return SecureListener(
        port=free_port(),
        ca_file=ca_file,
        username=username,
        password=password,
        properties={
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(key_store),
            "sasl.enabled.mechanisms": "PLAIN",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": (
                f'{_LOGIN} required user_{username}="{password}";'
            ),
        },
    )


def _self_signed(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker of a test")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
