"""POST /v1/completions, from the body to the last byte of the answer."""

import time

from services.gateway.arrival import Arrival
from services.gateway.fold import Fold
from services.gateway.generation import Events
from services.gateway.openai.completions.batch import Batch
from services.gateway.openai.completions.request import CompletionRequest, parse_completion
from services.gateway.openai.completions.response import CompletionChunks, completion
from services.gateway.openai.reply import JSON, Reply
from services.gateway.relay import Relay


async def answer(body: bytes, arrival: Arrival, relay: Relay, reply: Reply) -> None:
    """Answer a request for a completion.

    Raises:
        Failure: why there is no answer, or no whole one.
    """
    asked = parse_completion(body)
    routing = arrival.hints(session=asked.session)
    calls = [arrival.call(spec, api="openai", streamed=asked.stream, routing=routing) for spec in asked.specs]
    batch = Batch(relay, calls)
    reply.param_of = batch.param_of
    reply.serve(batch)
    if asked.stream:
        await _stream(asked, batch, reply)
    else:
        await _whole(asked, batch, reply)


async def _stream(asked: CompletionRequest, batch: Batch, reply: Reply) -> None:
    chunks: CompletionChunks | None = None

    async def take(prompt: int, events: Events) -> None:
        nonlocal chunks
        if chunks is None:
            chunks = CompletionChunks(
                completion_id=_completion_id(batch),
                created=int(time.time()),
                model=asked.model,
                include_usage=asked.include_usage,
                choices=asked.choices,
                echoed=asked.echoed,
            )
        await reply.write_events(chunks.write(prompt, events))

    await batch.run(take)


async def _whole(asked: CompletionRequest, batch: Batch, reply: Reply) -> None:
    folds = [Fold() for _ in asked.specs]

    async def take(prompt: int, events: Events) -> None:
        folds[prompt].take(events)

    await batch.run(take)
    body = completion(
        [fold.whole() for fold in folds],
        completion_id=_completion_id(batch),
        created=int(time.time()),
        model=asked.model,
        choices=asked.choices,
        echoed=asked.echoed,
    )
    await reply.write(body, JSON)


def _completion_id(batch: Batch) -> str:
    return f"cmpl-{batch.id}"
