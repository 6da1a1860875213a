"""What a scripted worker answers: mostly what does not end well, or not at all."""

import asyncio

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from tests.fakes import Events, delta, saying, started


async def broken_before() -> Events:
    yield started()
    raise Failure(reasons.ERROR_REASON_PROVIDER_OVERLOADED, "busy", retry_after=2.5)


async def broken_after() -> Events:
    yield started()
    yield delta("a")
    raise Failure(reasons.ERROR_REASON_PROVIDER_OVERLOADED, "busy", retry_after=2.5)


async def silent() -> Events:
    yield started()
    await asyncio.get_running_loop().create_future()


async def hangs() -> Events:
    yield started()
    yield delta("a")
    await asyncio.get_running_loop().create_future()


async def floods() -> Events:
    yield started()
    while True:
        yield delta("x" * 4096)
        await asyncio.sleep(0)


def piece(choice: int, text: str) -> generation.GenerationEvent:
    return generation.GenerationEvent(delta=generation.Delta(choice=choice, text=text, tokens=1))


TWO = saying(
    started(),
    piece(1, "x"),
    piece(0, "a"),
    piece(1, "y"),
    generation.GenerationEvent(
        finished=generation.Finished(
            reasons=[generation.FINISH_REASON_STOP, generation.FINISH_REASON_LENGTH],
            usage=generation.Usage(input_tokens=1, output_tokens=3),
            fingerprint="fp",
        )
    ),
)
