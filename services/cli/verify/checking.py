"""Every feature of one provider, asked and judged."""

import dataclasses
import time
from collections.abc import AsyncGenerator, Sequence

from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.inference.v1 import worker_status_pb2 as worker_status

from services.cli.verify.asking import MOST_TOKENS
from services.cli.verify.client import Client
from services.cli.verify.feature import Feature, Verdict, verdict
from services.cli.verify.features import FEATURES

_NO_MODEL = "it has no model, and repeats the last message"
# What a kind of provider cannot show, by the kind and the feature.
EXCUSES = {("echo", "system"): _NO_MODEL, ("echo", "turns"): _NO_MODEL}


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """One cell of the matrix."""

    provider: str
    model: str
    feature: Feature
    verdict: Verdict
    seconds: float
    input_tokens: int
    output_tokens: int


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """The models that are asked for chats, for completions and for vectors; with what they claim."""

    chat: worker_status.WorkerModel | None
    completions: worker_status.WorkerModel | None
    embeddings: worker_status.WorkerModel | None

    def of(self, feature: Feature) -> worker_status.WorkerModel | None:
        """The model for a feature; one that does not claim it where no other does, which then has to refuse."""
        if feature.embeds:
            return self.embeddings or self.chat
        return (self.completions or self.chat) if feature.completes else self.chat


def chosen(models: Sequence[worker_status.WorkerModel], name: str | None) -> Subject:
    """The model of that name, else the first that claims chats, the first that claims completions, and so on."""
    if name is not None:
        models = [one for one in models if one.name == name]
    each = (model.CAPABILITY_CHAT, model.CAPABILITY_COMPLETIONS, model.CAPABILITY_EMBEDDINGS)
    return Subject(*(next((one for one in models if able in one.capabilities), None) for able in each))


async def checked(client: Client, provider: str, kind: str, subject: Subject) -> AsyncGenerator[Result, None]:
    """Each feature, of a provider of that kind.

    One after the other: the vendor's rate limits are not what is to be verified.
    """
    for feature in FEATURES:
        found = subject.of(feature)
        if found is None:
            continue
        begun = time.perf_counter()
        excuse = EXCUSES.get((kind, feature.name), "")
        seen = [] if excuse else await client.seen(feature, found.name)
        yield Result(
            provider=provider,
            model=found.name,
            feature=feature,
            verdict=Verdict("unshown", excuse) if excuse else verdict(feature, seen, found.capabilities),
            seconds=time.perf_counter() - begun,
            input_tokens=sum(one.usage.input_tokens for one in seen),
            output_tokens=sum(one.usage.output_tokens for one in seen),
        )


def most_calls() -> int:
    """How many calls it takes at most."""
    return sum(len(feature.turns) for feature in FEATURES)


def most_tokens() -> int:
    """How many tokens may be generated at most, were every limit used up."""
    first = [spec for feature in FEATURES if isinstance(spec := feature.turns[0]("", ()), generation.GenerationSpec)]
    later = sum(len(feature.turns) - 1 for feature in FEATURES)
    return sum(spec.max_output_tokens * (spec.choices or 1) for spec in first) + later * MOST_TOKENS
