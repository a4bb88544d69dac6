"""Numbers that come back from a column as they were sent, or are refused."""


def exact_double(value: float) -> float:
    """Return the double that equals a number.

    Raises:
        ValueError: a whole number that none equals.
        OverflowError: one that is larger than any.
    """
    number = float(value)
    if isinstance(value, int) and number != value:
        raise ValueError(f"no double equals {value}; the nearest is {number:.0f}")
    return number
