"""What a call to the model used up."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and dollars of one call."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_dollars: float = 0.0
    is_estimated: bool = False


NOTHING = Usage()
