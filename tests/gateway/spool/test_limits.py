"""A spool that fills up sheds contents first, then strict keys, then everybody."""

import pytest

from services.gateway.spool.limits import Limits


@pytest.mark.parametrize(
    ("size", "sheds_relaxed", "sheds_strict", "refuses_strict", "refuses_relaxed"),
    [
        (499, False, False, False, False),
        (500, True, False, False, False),
        (999, True, False, False, False),
        (1000, True, True, True, False),
        (1249, True, True, True, False),
        (1250, True, True, True, True),
    ],
)
def test_contents_go_first_then_strict_keys_then_everybody(
    size: int, sheds_relaxed: bool, sheds_strict: bool, refuses_strict: bool, refuses_relaxed: bool
) -> None:
    limits = Limits(1000)
    assert limits.sheds(size, strict=False) == sheds_relaxed
    assert limits.sheds(size, strict=True) == sheds_strict
    assert limits.refuses(size, strict=True) == refuses_strict
    assert limits.refuses(size, strict=False) == refuses_relaxed
