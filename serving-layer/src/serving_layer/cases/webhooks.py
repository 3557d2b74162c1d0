"""Where alerts are sent to: targets, what a message looks like, how it is signed."""

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import (
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
)

from contracts.alerts import SEVERITIES, Severity
from serving_layer.errors import WebhookFileError

SIGNATURE = "X-StreamGuard-Signature"
DELIVERY = "X-StreamGuard-Delivery"


class Webhook(BaseModel):
    """One target of the webhooks file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    url: AnyHttpUrl
    format: Literal["json", "slack"] = "json"
    secret: SecretStr | None = Field(None, min_length=16)
    min_severity: Severity = "LOW"

    def wants(self, record: Mapping[str, Any]) -> bool:
        """Whether an alert is severe enough."""
        return SEVERITIES.index(record["severity"]) >= SEVERITIES.index(self.min_severity)

    def message(self, alert: Mapping[str, Any]) -> bytes:
        """Return the body that tells of an alert."""
        if self.format == "slack":
            return orjson.dumps({"text": slack_text(alert)})
        return orjson.dumps({"type": "alert", "alert": alert})

    def headers(self, delivery_id: str, body: bytes, at_seconds: int) -> dict[str, str]:
        """Return the headers of one attempt; signed where the target has a secret."""
        headers = {"Content-Type": "application/json", DELIVERY: delivery_id}
        if self.secret is not None:
            headers[SIGNATURE] = signature(self.secret.get_secret_value(), at_seconds, body)
        return headers


def signature(secret: str, at_seconds: int, body: bytes) -> str:
    """Return ``t=<Unix seconds>,v1=<HMAC-SHA256 of "t.body">``.

    The time is signed too, so that a receiver can refuse a message that is played again later.

    Examples:
        >>> signature("secret", 0, b"{}")[:12]
        't=0,v1=4bbe8'
    """
    signed = f"{at_seconds}.".encode() + body
    return f"t={at_seconds},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def slack_text(alert: Mapping[str, Any]) -> str:
    """Return one line in Slack's markup; what an event's producer wrote cannot break out of it."""
    parts = {name: _escaped(str(alert[name])) for name in ("user_id", "description", "alert_type")}
    return (
        f"*{alert['severity']}* {parts['alert_type']} · {parts['user_id']}: "
        f"{parts['description']} (alert {_escaped(str(alert['alert_id']))})"
    )


def read_webhooks(path: Path) -> list[Webhook]:
    """Return the targets of a webhooks file: a JSON list.

    Raises:
        WebhookFileError: If it cannot be read or says something else; secrets are not repeated.
    """
    try:
        targets = _TARGETS.validate_json(path.read_bytes())
    except OSError as error:
        raise WebhookFileError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
            for each in error.errors(include_input=False, include_url=False)
        )
        raise WebhookFileError(f"{path}: {wrong}") from None
    names = [target.name for target in targets]
    if len(set(names)) < len(names):
        raise WebhookFileError(f"{path}: two targets have the same name")
    return targets


def _escaped(text: str) -> str:
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(each if each.isprintable() else " " for each in plain.translate(_MARKUP))


_MARKUP = str.maketrans("*_~`", "\N{ASTERISK OPERATOR}\N{LOW LINE}\N{TILDE OPERATOR}'")
_TARGETS = TypeAdapter(list[Webhook])
