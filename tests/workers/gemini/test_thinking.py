"""How much a model is told to think."""

from typing import Any

import pytest
from google.genai import types

from services.chassis.failure import Failure
from services.workers.gemini.thinking import family, thinking_config

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
# Levels, or budgets, by effort, in the order above.
TABLE: dict[str, tuple[str | int, ...]] = {
    "gemini-4-argon": ("LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"),
    "gemini-3.8-flash": ("LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"),
    "gemini-3.6-flash": ("MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"),
    "gemini-3.5-flash-lite": ("MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"),
    "models/gemini-3-flash-preview": ("MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"),
    "gemini-3.1-pro-preview": ("LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"),
    "gemini-3-pro-preview": ("LOW", "LOW", "LOW", "HIGH", "HIGH", "HIGH", "HIGH"),
    "gemini-pro-latest": ("LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"),
    "nobody-knows-5": ("LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"),
    "gemini-2.5-pro": (128, 1024, 1024, 8192, 24576, 32768, 32768),
    "gemini-2.5-flash": (0, 1024, 1024, 8192, 24576, 24576, 24576),
    "gemini-2.5-flash-lite": (0, 1024, 1024, 8192, 24576, 24576, 24576),
}
CELLS = [(model, effort, cell) for model, row in TABLE.items() for effort, cell in zip(EFFORTS, row, strict=True)]


@pytest.mark.parametrize(("model", "effort", "cell"), CELLS)
def test_an_effort_is_what_the_model_has_of_it(model: str, effort: str, cell: str | int) -> None:
    expected: dict[str, Any] = {"thinkingLevel" if isinstance(cell, str) else "thinkingBudget": cell}
    if cell != 0:
        expected["includeThoughts"] = True
    assert thinking_config(model, effort) == expected


@pytest.mark.parametrize("model", TABLE)
def test_without_an_effort_thoughts_are_asked_for_and_nothing_else(model: str) -> None:
    assert thinking_config(model, "") == {"includeThoughts": True}


@pytest.mark.parametrize(
    "model", ["gemini-2.0-flash", "gemini-1.5-pro", "gemini-pro", "gemma-3-27b-it", "gemini-2.5-flash-image"]
)
def test_a_model_that_does_not_think_is_told_nothing_and_an_effort_is_refused(model: str) -> None:
    assert thinking_config(model, "") == thinking_config(model, "none") == {}
    with pytest.raises(Failure) as caught:
        thinking_config(model, "low")
    assert (caught.value.reason_name, caught.value.metadata["field"]) == ("UNSUPPORTED", "reasoning_effort")


def test_a_word_that_is_no_effort_is_refused() -> None:
    with pytest.raises(Failure, match="must be one of") as caught:
        thinking_config("gemini-3-flash", "hard")
    assert caught.value.reason_name == "SPEC_INVALID"


def test_every_level_is_one_that_the_sdk_knows() -> None:
    known = {level.value for level in types.ThinkingLevel}
    assert {cell for row in TABLE.values() for cell in row if isinstance(cell, str)} <= known


def test_signatures_are_demanded_by_gemini_3_and_whatever_comes_after() -> None:
    assert all(family(model).signed == ("2.5" not in model) for model in TABLE)
