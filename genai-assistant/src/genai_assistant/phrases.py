"""Small pieces of wording that the citation check can read back."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun.

    Examples:
        >>> counted(1, "event"), counted(12_000, "event")
        ('1 event', '12,000 events')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def figure(value: float) -> str:
    """Return a measured value: whole numbers as they are, others to two decimals.

    Examples:
        >>> figure(3.0), figure(0.8712), figure(1234.5)
        ('3', '0.87', '1,234.50')
    """
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def spoken(label: str) -> str:
    """Return a window as part of a sentence.

    Examples:
        >>> spoken("24h"), spoken("yesterday")
        ('in the last 24h', 'yesterday')
    """
    return f"in the last {label}" if label[0].isdigit() else label
