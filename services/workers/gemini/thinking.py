"""How much a model is told to think: levels for Gemini 3 and later, a budget of tokens for 2.5, nothing for others."""

import dataclasses
import re
from typing import Any

from services.chassis.failure import Failure
from services.workers.gemini import failures

_LEVELS = ("MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH")
_LEVEL_OF_EFFORT = {
    "none": "MINIMAL",
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "XHIGH",
    "max": "XHIGH",
}
# Google's own, for its OpenAI-compatible endpoint.
_BUDGET_OF_EFFORT = {
    "none": 0,
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 32768,
    "max": 32768,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """What models of one family understand.

    Attributes:
        levels: thinking levels, least first; empty where there are none.
        budget: least and most tokens of thinking; None where there is no budget.
        off: whether thinking can be turned off, by a budget of 0.
        signed: whether a tool call without its thought signature is refused.
        validated: whether there is a mode in which arguments match their schema exactly.
    """

    levels: tuple[str, ...] = ()
    budget: tuple[int, int] | None = None
    off: bool = False
    signed: bool = False
    validated: bool = True

    @property
    def thinks(self) -> bool:
        """Whether there is anything to set."""
        return bool(self.levels or self.budget)


_ALL_LEVELS = ("MINIMAL", "LOW", "MEDIUM", "HIGH")
# What a model that nobody has heard of yet most likely is, too.
_NEWEST = Family(("LOW", "MEDIUM", "HIGH"), signed=True)
_THOUGHTLESS = Family(validated=False)
# The first that fits counts. From Google's pages on thinking, as of November 2026.
_FAMILIES: tuple[tuple[str, Family], ...] = (
    (r"gemini-2\.5-.*(image|tts|audio|live|computer)", _THOUGHTLESS),
    (r"gemini-2\.5-pro", Family(budget=(128, 32768))),
    (r"gemini-2\.5-flash-lite", Family(budget=(512, 24576), off=True)),
    (r"gemini-2\.5", Family(budget=(1, 24576), off=True)),
    (r"gemini-[12]|gemini-(pro|ultra)(-vision)?$|gemma|learnlm", _THOUGHTLESS),
    (r"gemini-3-pro(?!.*image)", Family(("LOW", "HIGH"), signed=True)),
    (r"gemini-3.*image", Family(validated=False)),
    (r"gemini-3(\.[56])?-flash|gemini-3.*flash-lite", Family(_ALL_LEVELS, signed=True)),
)


def family(model: str) -> Family:
    """The family of a model, by its name with or without `models/`."""
    name = model.rpartition("/")[2].lower()
    return next((found for pattern, found in _FAMILIES if re.match(pattern, name)), _NEWEST)


def thinking_config(model: str, effort: str) -> dict[str, Any]:
    """The `thinkingConfig`; empty where there is nothing to say. Never both a level and a budget, which is refused.

    An effort that the model does not have becomes the next higher one that it has, else its highest.

    Raises:
        Failure: UNSUPPORTED, where the model does not think; SPEC_INVALID, for a word that is no effort.
    """
    of = family(model)
    if effort and effort not in _LEVEL_OF_EFFORT:
        raise failures.invalid("reasoning_effort", f"must be one of {', '.join(_LEVEL_OF_EFFORT)}")
    if not of.thinks:
        if effort not in ("", "none"):
            raise _thoughtless(model)
        return {}
    if not effort:
        return {"includeThoughts": True}
    if of.budget is None:
        return {"includeThoughts": True, "thinkingLevel": _level(of.levels, _LEVEL_OF_EFFORT[effort])}
    if effort == "none" and of.off:
        return {"thinkingBudget": 0}  # thoughts may not be asked for where there are none
    least, most = of.budget
    return {"includeThoughts": True, "thinkingBudget": min(max(_BUDGET_OF_EFFORT[effort], least), most)}


def _level(offered: tuple[str, ...], wanted: str) -> str:
    enough = (level for level in offered if _LEVELS.index(level) >= _LEVELS.index(wanted))
    return next(enough, offered[-1])


def _thoughtless(model: str) -> Failure:
    return failures.unsupported("reasoning_effort", f"{model} does not think")
