"""Settings, read once from ``ASSISTANT_*`` and ``OPENAI_*`` environment variables."""

from pathlib import Path
from typing import Literal, Self

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from genai_assistant.pseudonyms import is_local

DEFAULT_PRICES: dict[str, tuple[float, float]] = {
    "gpt-4o-mini": (0.15, 0.60),
    "gpt-4o": (2.50, 10.00),
    "gpt-4.1-mini": (0.40, 1.60),
}


PERSONAL_FIELDS = frozenset(
    {
        "address",
        "addresses",
        "customer_id",
        "destination_ip",
        "email",
        "hostname",
        "new_address",
        "only_batch",
        "only_live",
        "session_id",
        "source_ip",
        "source_ips",
        "top_addresses",
        "user",
    }
)


class Settings(BaseSettings):
    """How the assistant runs. Constructing it reads the environment once."""

    model_config = SettingsConfigDict(
        env_prefix="ASSISTANT_",
        env_file=".env",
        # `.env.example` and Compose name the model's variables with nothing behind them.
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        hide_input_in_errors=True,  # keys are among the input
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8002, ge=0, le=65535, description="Port to listen on.")
    serving_url: str = Field("http://127.0.0.1:8081", description="Base URL of the serving layer.")
    batch_url: str = Field(
        "http://127.0.0.1:8080",
        description="Base URL of the batch layer's control API, for questions on transactions.",
    )
    serving_key_file: Path | None = Field(
        None,
        description="A file that holds `ASSISTANT_SERVING_KEY`; its last line break is dropped.",
    )
    serving_key: SecretStr | None = Field(
        None,
        validate_default=True,
        description=(
            "API key for what the assistant reads and writes on its own (analyst, past analyses); "
            "what it reads for a question carries the key that came with the question."
        ),
    )
    serving_timeout_seconds: float = Field(
        5.0, gt=0, description="How long one call to the serving layer may take."
    )
    mcp_allowed_hosts: list[str] = Field(
        default_factory=list,
        description=(
            "Host headers, as JSON, that `/mcp` accepts beside loopback: `host:port` or `host:*`."
        ),
    )
    data_dir: Path = Field(
        Path(".stack/assistant"), description="Folder of the retrieval index; one process each."
    )

    sentence_model_dir: Path | None = Field(
        None,
        description=(
            "Folder of the sentence model that `make sentence-model` fetches; without it, "
            "retrieval uses words alone."
        ),
    )
    past_analyses_seconds: float = Field(
        30.0, gt=0, description="How often new and deleted analyses are looked for, for retrieval."
    )

    openai_api_key_file: Path | None = Field(
        None,
        validation_alias=AliasChoices("OPENAI_API_KEY_FILE", "openai_api_key_file"),
        description="A file that holds `OPENAI_API_KEY`; its last line break is dropped.",
    )
    openai_api_key: SecretStr | None = Field(
        None,
        validate_default=True,
        validation_alias=AliasChoices("OPENAI_API_KEY", "openai_api_key"),
        description="Key of the model provider. Without key and base URL there is no model.",
    )
    openai_base_url: str | None = Field(
        None,
        validation_alias=AliasChoices("OPENAI_BASE_URL", "openai_base_url"),
        description="Any OpenAI-compatible server; a local one needs no key.",
    )
    openai_model: str = Field(
        "gpt-4o-mini",
        validation_alias=AliasChoices("OPENAI_MODEL", "openai_model"),
        description="Model name, as the provider spells it.",
    )
    model_timeout_seconds: float = Field(
        30.0, gt=0, description="How long one model call may take; it is tried at most twice."
    )
    model_deadline_seconds: float = Field(
        45.0, gt=0, description="How long the model may take in all, retry included."
    )
    model_max_tokens: int = Field(700, ge=50, description="Longest reply asked of the model.")
    prompt_evidence_chars: int = Field(
        12_000, ge=1000, description="Characters of records that a model is shown at most."
    )
    model_concurrency: int = Field(4, ge=1, description="Calls to the model at the same time.")
    model_breaker_failures: int = Field(
        5, ge=1, description="After so many failures in a row the model is left alone."
    )
    model_breaker_seconds: float = Field(30.0, gt=0, description="For how long.")
    model_daily_dollars: float | None = Field(
        None,
        ge=0,
        description=(
            "What the model may cost per UTC day; then answers are evidence. Needs the model's "
            "price in `ASSISTANT_MODEL_PRICES`: without it the assistant does not start."
        ),
    )
    model_daily_dollars_per_user: float | None = Field(
        None,
        ge=0,
        description=(
            "The same for each asker: the API key of a question, or its `asked_by` where it came "
            "without a key."
        ),
    )
    pseudonyms: Literal["auto", "always", "never"] = Field(
        "auto",
        description=(
            "Replace personal values before a model sees them; auto: unless its server is on "
            "this machine."
        ),
    )
    pseudonym_fields: frozenset[str] = Field(
        PERSONAL_FIELDS, description="Record fields whose values are replaced, as JSON."
    )
    model_prices: dict[str, tuple[float, float]] = Field(
        DEFAULT_PRICES,
        description=(
            "US dollars per million tokens, (prompt, completion), by model name, as JSON. "
            "A model that is not listed costs nothing in the metrics, and can have no budget."
        ),
    )

    analyst_enabled: bool = Field(True, description="Write analyses of HIGH and CRITICAL alerts.")
    analyst_per_minute: int = Field(
        30, ge=1, description="At most this many analyses are written per minute."
    )
    analyst_interval_seconds: float = Field(
        5.0, gt=0, description="How often the analyst looks for new alerts."
    )

    @field_validator("serving_key", "openai_api_key", mode="before")
    @classmethod
    def _from_its_file(cls, value: object, info: ValidationInfo) -> object:
        """Read a secret that is not given from its file; an empty file holds none."""
        path: Path | None = info.data.get(f"{info.field_name}_file")
        if value is not None or path is None:
            return value
        try:
            return path.read_text(encoding="utf-8").removesuffix("\n") or None
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} cannot be read: {error}") from error

    @model_validator(mode="after")
    def _budgets_have_a_price(self) -> Self:
        """Refuse budgets that could never be spent."""
        budgets = (self.model_daily_dollars, self.model_daily_dollars_per_user)
        has_budget = any(one is not None for one in budgets)
        if self.has_model and has_budget and not self.has_price:
            raise ValueError(
                f"a budget in dollars needs the price of {self.openai_model!r}: add "
                f'{{"{self.openai_model}": [prompt, completion]}}, dollars per million tokens, '
                "to ASSISTANT_MODEL_PRICES"
            )
        return self

    @property
    def has_price(self) -> bool:
        """True when the model's tokens have a price, be it 0."""
        return self.openai_model in self.model_prices

    @property
    def has_model(self) -> bool:
        """True when a language model is configured."""
        key = self.openai_api_key.get_secret_value() if self.openai_api_key else ""
        return bool(key.strip() or (self.openai_base_url or "").strip())

    @property
    def hides_personal_values(self) -> bool:
        """True when personal values are replaced before the model sees them."""
        if self.pseudonyms == "auto":
            return not is_local(self.openai_base_url)
        return self.pseudonyms == "always"
