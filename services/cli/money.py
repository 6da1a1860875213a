"""US dollars as people write them, exact: whole nano-dollars, never a float."""

import decimal

from services.cli.problem import Problem

_DIGITS = 9
_NANO = 10**_DIGITS
_MOST_USD = 10**9


def nano_usd(text: str, option: str) -> int:
    """Dollars in nano-dollars.

    Raises:
        Problem: it is no amount, naming the option.
    """
    try:
        amount = decimal.Decimal(text)
        fits = amount.is_finite() and 0 <= amount <= _MOST_USD and amount * _NANO == int(amount * _NANO)
    except decimal.InvalidOperation:
        fits = False
    if not fits:
        raise Problem(
            f"{option}: `{text}` is no amount of US dollars, such as 12.50; at most a billion, with at most 9 decimals",
            code=2,
        )
    return int(amount * _NANO)


def usd(nano: int) -> str:
    """Nano-dollars in dollars, with every digit: `0.000000001`."""
    sign, amount = "-" if nano < 0 else "", abs(nano)
    return f"{sign}{amount // _NANO}.{amount % _NANO:0{_DIGITS}d}"
