"""Transaction events: 31 fields, on the wire and as columns."""

from typing import Annotated, Literal
from uuid import UUID

import pyarrow as pa
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

CATEGORIES = (
    "electronics",
    "clothing",
    "grocery",
    "home_garden",
    "sports",
    "beauty",
    "automotive",
    "books",
    "toys",
    "pharmacy",
)
PAYMENT_METHODS = (
    "credit_card",
    "debit_card",
    "upi",
    "wallet",
    "bank_transfer",
    "cod",
    "gift_card",
)
STATUSES = ("completed", "pending", "failed", "refunded", "chargeback")
CHANNELS = ("pos_in_store", "web", "mobile_app", "marketplace", "call_center")
REGIONS = ("north", "south", "east", "west", "central", "northeast")
TIERS = ("bronze", "silver", "gold", "platinum")
CARD_NETWORKS = ("visa", "mastercard", "amex", "rupay", "discover")
DEVICE_TYPES = ("android", "ios", "desktop", "tablet")

FRAUD_SCORE_THRESHOLD = 0.7


class Transaction(BaseModel):
    """One record of ``transactions-stream`` or ``transactions-batch``, keyed by customer_id."""

    model_config = ConfigDict(frozen=True, extra="allow")

    transaction_id: UUID
    event_timestamp: AwareDatetime
    processing_timestamp: AwareDatetime | None = Field(None, description="Set on write.")
    customer_id: Annotated[str, Field(min_length=1)]
    customer_tier: Literal["bronze", "silver", "gold", "platinum"] | None = None
    product_id: Annotated[str, Field(min_length=1)]
    product_name: str
    category: Literal[
        "electronics",
        "clothing",
        "grocery",
        "home_garden",
        "sports",
        "beauty",
        "automotive",
        "books",
        "toys",
        "pharmacy",
    ]
    sub_category: str | None = None
    brand: str | None = None
    quantity: Annotated[int, Field(ge=1)]
    unit_price: Annotated[float, Field(ge=0)]
    discount_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    tax_amount: float | None = None
    total_amount: float = Field(description="quantity * unit_price * (1 - discount_percent / 100).")
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217.")]
    payment_method: Literal[
        "credit_card", "debit_card", "upi", "wallet", "bank_transfer", "cod", "gift_card"
    ]
    card_network: Literal["visa", "mastercard", "amex", "rupay", "discover"] | None = None
    transaction_status: Literal["completed", "pending", "failed", "refunded", "chargeback"]
    channel: Literal["pos_in_store", "web", "mobile_app", "marketplace", "call_center"]
    store_id: str | None = None
    region: Literal["north", "south", "east", "west", "central", "northeast"]
    city: str
    state: str | None = None
    postal_code: str | None = None
    device_type: Literal["android", "ios", "desktop", "tablet"] | None = None
    session_id: str | None = None
    ip_address: str | None = None
    is_fraudulent: bool | None = None
    fraud_score: Annotated[float, Field(ge=0, le=1)] | None = None
    batch_id: str | None = None


_TIME = pa.timestamp("us", tz="UTC")

TRANSACTION_SCHEMA = pa.schema(
    [
        pa.field("transaction_id", pa.string(), nullable=False),
        pa.field("event_timestamp", _TIME, nullable=False),
        ("processing_timestamp", _TIME),
        pa.field("customer_id", pa.string(), nullable=False),
        ("customer_tier", pa.string()),
        pa.field("product_id", pa.string(), nullable=False),
        pa.field("product_name", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        ("sub_category", pa.string()),
        ("brand", pa.string()),
        pa.field("quantity", pa.int32(), nullable=False),
        pa.field("unit_price", pa.float64(), nullable=False),
        ("discount_percent", pa.float64()),
        ("tax_amount", pa.float64()),
        pa.field("total_amount", pa.float64(), nullable=False),
        pa.field("currency", pa.string(), nullable=False),
        pa.field("payment_method", pa.string(), nullable=False),
        ("card_network", pa.string()),
        pa.field("transaction_status", pa.string(), nullable=False),
        pa.field("channel", pa.string(), nullable=False),
        ("store_id", pa.string()),
        pa.field("region", pa.string(), nullable=False),
        pa.field("city", pa.string(), nullable=False),
        ("state", pa.string()),
        ("postal_code", pa.string()),
        ("device_type", pa.string()),
        ("session_id", pa.string()),
        ("ip_address", pa.string()),
        ("is_fraudulent", pa.bool_()),
        ("fraud_score", pa.float64()),
        ("batch_id", pa.string()),
    ]
)
"""The 31 columns, in the order of the wire fields."""
