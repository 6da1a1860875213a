"""Strategies by name."""

import pathlib
import re
from typing import get_args

import pytest

from services.config import strategy as settings

_DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "routing.md"
_KINDS = get_args(get_args(settings.Strategy)[0])


@pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.__name__)
def test_the_document_lists_every_strategy_and_parameter_with_its_default(kind: type[settings.Section]) -> None:
    section = _DOCUMENT.read_text(encoding="utf-8").partition("## Strategies")[2].partition("\n## ")[0]
    name = kind.model_fields["name"].default
    assert f"\n| `{name}` | " in section
    parameters = dict(re.findall(rf"^\| `{name}` \| `(\w+)` \| (\S+) \|", section, re.MULTILINE))
    known = {field: info.default for field, info in kind.model_fields.items() if field != "name"}
    assert {field: float(default) for field, default in parameters.items()} == known
