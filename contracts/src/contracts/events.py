"""Security and user-activity events as they travel on their topics.

These models document and export the wire format. The hot path does not build them: see
``decoder``. Readers must survive additive change, so unknown keys are kept.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MIN_TIMESTAMP_MS = 1_600_000_000_000
MAX_TIMESTAMP_MS = 2_000_000_000_000
MAX_EVENT_ID_LENGTH = 64
MAX_USER_LENGTH = 256
UNKNOWN_USER = "unknown"

EventType = Literal[
    "auth_attempt", "network_connection", "file_access", "process_execution", "dns_query"
]
EventStatus = Literal["success", "failed", "blocked", "pending"]

EVENT_TYPES: tuple[str, ...] = (
    "auth_attempt",
    "network_connection",
    "file_access",
    "process_execution",
    "dns_query",
)
EVENT_STATUSES: tuple[str, ...] = ("success", "failed", "blocked", "pending")

USER_LOGIN = "USER_LOGIN"
USER_LOGIN_FAILED = "USER_LOGIN_FAILED"
AUTH_EVENT_TYPES: tuple[str, ...] = ("auth_attempt", USER_LOGIN, USER_LOGIN_FAILED)
"""Event types that detection counts as authentication."""


class _Open(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class Metadata(_Open):
    """Context of a security event; unknown keys are kept."""

    hostname: str | None = None
    geo_location: str | None = Field(None, description="CC-RR-City.", examples=["US-CA-SF"])
    user_agent: str | None = None
    session_id: str | None = None
    port: int | None = None
    protocol: str | None = None
    file_path: str | None = None
    process_name: str | None = None
    domain: str | None = None
    bytes_transferred: int | None = None


class AuthDetails(_Open):
    """Details of an ``auth_attempt``."""

    auth_type: Literal["password", "mfa", "sso", "api_key"] | None = None
    status: str | None = None
    failure_reason: str | None = Field(
        None, description="invalid_password, account_locked, mfa_failed or expired_credentials."
    )
    attempts_count: int | None = None
    previous_success_timestamp: int | None = Field(None, description="Unix ms.")


class NetworkDetails(_Open):
    """Details of a ``network_connection``."""

    protocol: str | None = None
    source_port: int | None = None
    destination_port: int | None = None
    bytes_sent: int | None = None
    bytes_received: int | None = None
    duration_ms: int | None = None
    destination_hostname: str | None = None
    connection_state: Literal["established", "closed", "timeout"] | None = None


class FileDetails(_Open):
    """Details of a ``file_access``."""

    file_path: str | None = None
    operation: Literal["read", "write", "delete", "create", "modify"] | None = None
    file_size_bytes: int | None = None
    file_hash: str | None = None
    is_encrypted: bool | None = None
    permissions_changed: bool | None = None
    access_denied: bool | None = None


class ProcessDetails(_Open):
    """Details of a ``process_execution``."""

    process_name: str | None = None
    process_id: int | None = None
    parent_process_id: int | None = None
    command_line: str | None = None
    executable_path: str | None = None
    executable_hash: str | None = None
    user_privileges: Literal["admin", "standard", "system"] | None = None
    is_signed: bool | None = None
    signer: str | None = None


class DnsDetails(_Open):
    """Details of a ``dns_query``."""

    query_name: str | None = None
    query_type: Literal["A", "AAAA", "MX", "TXT", "CNAME"] | None = None
    response_code: Literal["NOERROR", "NXDOMAIN", "SERVFAIL"] | None = None
    resolved_ips: list[str] | None = None
    ttl: int | None = None
    is_cached: bool | None = None
    dns_server: str | None = None


class SecurityEvent(_Open):
    """One record of ``security-events``, keyed by user.

    An event without ``user`` is kept under the user ``unknown``; it counts, and is never scored.
    """

    event_id: Annotated[str, Field(min_length=1, max_length=MAX_EVENT_ID_LENGTH)]
    timestamp: Annotated[
        int, Field(ge=MIN_TIMESTAMP_MS, le=MAX_TIMESTAMP_MS, description="Event time, Unix ms.")
    ]
    event_type: EventType
    source_ip: str | None = Field(None, description="IPv4, IPv6, or a host name kept as text.")
    destination_ip: str | None = None
    user: Annotated[str, Field(min_length=1, max_length=MAX_USER_LENGTH)] | None = None
    status: EventStatus | None = None
    threat_score: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="The producer's own opinion. Stored and queryable, never an input."
    )
    metadata: Metadata | None = None
    auth_details: AuthDetails | None = None
    network_details: NetworkDetails | None = None
    file_details: FileDetails | None = None
    process_details: ProcessDetails | None = None
    dns_details: DnsDetails | None = None


class UserActivityEvent(_Open):
    """One record of ``user-events``, keyed by userId.

    It has no id of its own: its identity is topic, partition and offset.
    """

    userId: Annotated[str, Field(min_length=1, max_length=MAX_USER_LENGTH)]
    eventType: Annotated[
        str,
        Field(
            min_length=1,
            max_length=64,
            examples=["USER_LOGIN", "USER_LOGIN_FAILED", "USER_SEARCH", "USER_REGISTERED"],
        ),
    ]
    timestamp: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$")] = Field(
        description="yyyy-MM-ddTHH:mm:ss, UTC."
    )
    metadata: dict[str, str] | None = None
    sessionId: str | None = None
    ipAddress: str | None = None
