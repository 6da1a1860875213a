"""The judges tell apart: what says nothing passes nowhere, and who only claims is found out."""

import pathlib
import tempfile
from collections.abc import Sequence

import pytest
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model

from services.chassis.channel import open_channel
from services.chassis.failure import Failure
from services.cli.verify.client import Client
from services.cli.verify.feature import Feature, verdict
from services.cli.verify.features import FEATURES
from services.cli.verify.seen import Seen
from services.inference import capabilities
from services.workers.provider import AttemptContext, Embedded, Load, ServedModel
from tests import fakes

EACH = pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
ALL = frozenset(model.Capability.values())
BY_NAME = {feature.name: feature for feature in FEATURES}


@EACH
def test_an_answer_that_says_nothing_passes_nowhere(feature: Feature) -> None:
    seen: list[Seen] = []
    for build in feature.turns:
        seen.append(Seen(build("m", seen), [fakes.started(), generation.GenerationEvent(finished={})]))
    assert verdict(feature, seen, ALL).outcome == "failed"


@EACH
def test_a_feature_needs_what_its_calls_need(feature: Feature) -> None:
    seen: list[Seen] = []
    needed: set[int] = set()
    for build in feature.turns:
        spec = build("m", seen)
        seen.append(Seen(spec))
        if isinstance(spec, generation.GenerationSpec):
            needed |= set(capabilities.required(spec))
        else:
            needed |= set(capabilities.required_by_embedding(spec))
    if feature.name == "option-denied":  # to be refused by those that take options, too
        needed.discard(model.CAPABILITY_PROVIDER_OPTIONS)
    assert set(feature.needs) == needed


@EACH
def test_a_failure_is_no_pass(feature: Feature) -> None:
    failure = Failure(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE, "The provider could not be reached.")
    found = verdict(feature, [Seen(feature.turns[0]("m", ()), failure=failure)], ALL)
    assert found.outcome == "failed"
    assert "PROVIDER_UNAVAILABLE" in found.why


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (None, "failed"),
        (Failure(reasons.ERROR_REASON_UNSUPPORTED, "No `tools` at e-0.", field="tools", provider="e-0"), "refused"),
        (Failure(reasons.ERROR_REASON_UNSUPPORTED, "No `tools`.", field="tools", provider="e-0"), "failed"),
        (Failure(reasons.ERROR_REASON_UNSUPPORTED, "Not at e-0.", provider="e-0"), "failed"),
        (Failure(reasons.ERROR_REASON_INTERNAL, "No `tools` at e-0.", field="tools", provider="e-0"), "failed"),
    ],
    ids=["dropped in silence", "named", "no provider", "no field", "another reason"],
)
def test_what_is_not_claimed_is_refused_by_name_or_fails(failure: Failure | None, outcome: str) -> None:
    feature = BY_NAME["tools"]
    seen = [Seen(feature.turns[0]("m", ()), failure=failure)]
    assert verdict(feature, seen, {model.CAPABILITY_CHAT}).outcome == outcome


class Boaster:
    """Claims everything, and says the same whatever it is asked."""

    models: Sequence[ServedModel] = (ServedModel("m", 0, tuple(model.Capability.values())),)

    def load(self) -> Load:
        return Load()

    async def generate(self, spec: generation.GenerationSpec, context: AttemptContext) -> fakes.Events:
        yield fakes.started()
        for word in ("Hello", " there", ", dear", " caller"):
            yield fakes.delta(word)
        yield fakes.finished(4)

    async def embed(self, spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
        vectors = [embedding.Embedding(values=[1.0, 0.0]) for _ in spec.inputs]
        return Embedded(vectors, generation.Usage(input_tokens=1), "m")


# What cannot be told apart from outside: an answer that a parameter has shaped may look like one that it has not.
UNNOTICED = {"text", "stream", "cancel", "usage", "temperature-0", "seed", "penalties", "top-k", "logit-bias"}
UNNOTICED |= {"option", "tools-none", "embed", "embed-usage", "embed-tokens", "prompt-tokens", "prompt-cancel"}


async def test_who_claims_what_it_does_not_do_is_found_out() -> None:
    with tempfile.TemporaryDirectory(prefix="verify") as directory:
        address = f"unix:{pathlib.Path(directory, 'w.sock')}"
        async with fakes.running_worker(address, Boaster()), open_channel(address) as channel:
            client = Client(channel)
            outcomes = {one.name: verdict(one, await client.seen(one, "m"), ALL).outcome for one in FEATURES}
    assert {name for name, outcome in outcomes.items() if outcome == "passed"} == UNNOTICED
