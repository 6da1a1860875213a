"""A feature: what to ask a worker, and how to judge what comes."""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Literal

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import model_pb2 as model

from services.cli.verify.seen import Seen, Spec

# The next call, from the model's name and what came of the calls before it.
Build = Callable[[str, Sequence[Seen]], Spec]
# Nothing where all is well, else what is wrong.
Judge = Callable[[Sequence[Seen]], str]


@dataclasses.dataclass(frozen=True, slots=True)
class Feature:
    """One row of the matrix.

    Attributes:
        name: for programs.
        what: for people.
        needs: the capabilities that the calls need; without one of them, being refused by name is what is right.
        turns: the calls, one after the other.
        judge: of all calls. It is not asked when one has failed, unless `judges_failures`.
        leaves: whether the caller leaves after the first piece.
        judges_failures: whether a failure may be what is right.
    """

    name: str
    what: str
    needs: tuple[model.Capability, ...]
    turns: tuple[Build, ...]
    judge: Judge
    leaves: bool = False
    judges_failures: bool = False

    @property
    def embeds(self) -> bool:
        """Whether it is about vectors."""
        return model.CAPABILITY_EMBEDDINGS in self.needs

    @property
    def completes(self) -> bool:
        """Whether it is about prompts that are gone on with as they are."""
        return model.CAPABILITY_COMPLETIONS in self.needs

    def offered(self, capabilities: Collection[int]) -> bool:
        """Whether a model with these capabilities claims it."""
        return set(self.needs) <= set(capabilities)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """How a feature came out. Refused by name is as good as passed: the caller knows. What is unshown was not asked."""

    outcome: Literal["passed", "refused", "failed", "unshown"]
    why: str = ""


def verdict(feature: Feature, seen: Sequence[Seen], capabilities: Collection[int]) -> Verdict:
    """Judge what came of the calls, given what the model claims."""
    failure = next((one.failure for one in seen if one.failure is not None), None)
    if not feature.offered(capabilities):
        why = unnamed_refusal(seen)
        return Verdict("failed", f"not claimed, but {why}") if why else Verdict("refused", _field(seen))
    if failure is not None and not feature.judges_failures:
        return Verdict("failed", f"{failure.reason_name}: {failure.message}")
    why = feature.judge(seen)
    return Verdict("failed", why) if why else Verdict("passed")


def unnamed_refusal(seen: Sequence[Seen]) -> str:
    """What is wrong with a refusal that should name parameter and provider; nothing where it does."""
    failure = seen[-1].failure if seen else None
    if failure is None:
        return "not refused"
    if failure.reason != reasons.ERROR_REASON_UNSUPPORTED:
        return f"refused with {failure.reason_name}: {failure.message}"
    for name in ("field", "provider"):
        value = failure.metadata.get(name, "")
        if not value or value not in failure.message:
            return f"refused without naming the {name}: {failure.message}"
    return ""


def _field(seen: Sequence[Seen]) -> str:
    failure = seen[-1].failure
    return failure.metadata.get("field", "") if failure else ""
