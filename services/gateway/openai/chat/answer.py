"""POST /v1/chat/completions, from the body to the last byte of the answer."""

import contextlib
import time

from services.gateway.arrival import Arrival
from services.gateway.fold import Fold
from services.gateway.generation import Generation
from services.gateway.openai.chat.request import ChatRequest, parse_chat
from services.gateway.openai.chat.response import ChatChunks, completion
from services.gateway.openai.reply import JSON, Reply
from services.gateway.relay import Relay


async def answer(body: bytes, arrival: Arrival, relay: Relay, reply: Reply) -> None:
    """Answer a chat request.

    Raises:
        Failure: why there is no answer, or no whole one.
    """
    chat = parse_chat(body)
    running = await relay.begin(
        arrival.call(chat.spec, api="openai", streamed=chat.stream, routing=arrival.hints(session=chat.session))
    )
    reply.serve(running)
    if chat.stream:
        await _stream(chat, running, reply)
    else:
        await _whole(chat, running, reply)


async def _stream(chat: ChatRequest, running: Generation, reply: Reply) -> None:
    chunks = ChatChunks(
        completion_id=_completion_id(running),
        created=int(time.time()),
        model=chat.spec.model,
        include_usage=chat.include_usage,
    )
    async with contextlib.aclosing(running.events()) as batches:
        async for events in batches:
            await reply.write_events(chunks.write(events))


async def _whole(chat: ChatRequest, running: Generation, reply: Reply) -> None:
    fold = Fold()
    async with contextlib.aclosing(running.events()) as batches:
        async for events in batches:
            fold.take(events)
    body = completion(
        fold.whole(), completion_id=_completion_id(running), created=int(time.time()), model=chat.spec.model
    )
    await reply.write(body, JSON)


def _completion_id(running: Generation) -> str:
    return f"chatcmpl-{running.id}"
