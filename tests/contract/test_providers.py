"""Every provider does what it claims, refuses the rest by name, and tells what goes wrong: one suite for all."""

import contextlib
import pathlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.worker.v1 import session_pb2 as session

from services.chassis import status
from services.chassis.channel import open_channel
from services.chassis.deadline import to_duration
from services.cli.verify.client import Client
from services.cli.verify.feature import Feature, unnamed_refusal, verdict
from services.cli.verify.features import FEATURES
from tests import fakes
from tests.contract.faults import FAULTS, Fault, judge
from tests.contract.subject import Subject, told
from tests.contract.subjects import SUBJECTS

# Freeing takes less than a second. A machine may stand still for as long, though not each time.
SCENES = 3
EACH = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.kind)


def cells(rows: tuple[Feature, ...] | tuple[Fault, ...]) -> list[Any]:
    """Each cell that is not excused, under the id by which the matrix knows it."""
    return [
        pytest.param(subject, row, id=f"{subject.kind}-{row.name}")
        for subject in SUBJECTS
        for row in rows
        if row.name not in subject.reasons
    ]


@pytest.fixture
def address() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="contract") as directory:
        yield f"unix:{pathlib.Path(directory, 'w.sock')}"


@contextlib.asynccontextmanager
async def client(subject: Subject, address: str, *, stage: str = "") -> AsyncIterator[Client]:
    async with subject.serving(address, stage), open_channel(address) as channel:
        yield Client(channel)


@pytest.mark.parametrize(("subject", "feature"), cells(FEATURES))
async def test_what_is_claimed_holds_and_the_rest_is_refused_by_name(
    subject: Subject, feature: Feature, address: str
) -> None:
    name = "e" if feature.embeds else "m"
    claims = subject.claims(embeds=feature.embeds)
    wanted = "passed" if feature.offered(claims) else "refused"
    async with client(subject, address) as asked:
        for _ in range(SCENES if feature.leaves else 1):
            found = verdict(feature, await asked.seen(feature, name), claims)
            if found.outcome == wanted:
                break
    assert found.outcome == wanted, found.why


@pytest.mark.parametrize(("subject", "fault"), cells(FAULTS))
async def test_what_goes_wrong_has_its_reason(subject: Subject, fault: Fault, address: str) -> None:
    async with client(subject, address, stage=fault.stage) as asked:
        seen = await asked.call(subject.fault(fault.name))
    assert judge(fault, seen, subject.kind) == ""


@EACH
async def test_the_matrix_claims_what_the_worker_claims(subject: Subject, address: str) -> None:
    async with client(subject, address) as asked:
        found = {one.name: set(one.capabilities) for one in await asked.models()}
    assert found["m"] == subject.claims(embeds=False)
    assert found["e"] == subject.claims(embeds=True)


@EACH
async def test_a_parameter_that_a_model_does_not_have_is_refused_by_name(subject: Subject, address: str) -> None:
    """Whatever a provider can do, a model may be configured to do less."""
    spec = told("hi")
    spec.model = "bare"
    spec.messages[0].parts.add().image.data = b"\x89PNG"
    async with client(subject, address) as asked:
        assert unnamed_refusal([await asked.call(spec)]) == ""


@EACH
async def test_a_callers_deadline_has_its_stage_and_frees_the_provider(subject: Subject, address: str) -> None:
    spec = subject.fault("silent")
    async with (
        subject.serving(address, ""),
        fakes.gateway_session(address) as gateway,
        open_channel(address) as channel,
    ):
        free = False
        for attempt in map(str, range(SCENES)):
            start = session.StartAttempt(attempt_id=attempt, spec=spec, time_left=to_duration(0.2))
            await gateway.say(session.SessionCommand(start=start))
            ended = await gateway.outcome(attempt)
            assert ended is not None
            failure = status.from_status(ended)
            assert (failure.reason_name, failure.metadata["stage"]) == ("DEADLINE_EXCEEDED", "first_token")
            free = await Client(channel).freed()
            if free:
                break
        assert free


def test_every_capability_of_the_contract_is_needed_by_some_feature() -> None:
    needed = {capability for feature in FEATURES for capability in feature.needs}
    assert needed == set(model.Capability.values()) - {model.CAPABILITY_UNSPECIFIED}
