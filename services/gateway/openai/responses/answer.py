"""POST /v1/responses, from the body to the last byte of the answer."""

import contextlib
import time

from services.gateway.arrival import Arrival
from services.gateway.generation import Generation
from services.gateway.openai.reply import JSON, Reply
from services.gateway.openai.responses.events import ResponseEvents
from services.gateway.openai.responses.request import parse_response
from services.gateway.openai.responses.response import Response
from services.gateway.openai.responses.whole import Whole
from services.gateway.relay import Relay


async def answer(body: bytes, arrival: Arrival, relay: Relay, reply: Reply) -> None:
    """Answer a request for a response.

    Raises:
        Failure: why there is no answer, or no whole one.
    """
    reply.param_of = str  # what the codec refuses it names in the caller's own words
    asked = parse_response(body)
    reply.param_of = asked.params.of
    routing = arrival.hints(session=asked.session)
    running = await relay.begin(arrival.call(asked.spec, api="openai", streamed=asked.stream, routing=routing))
    response = Response(
        identity=running.id,
        created=int(time.time()),
        model=asked.spec.model,
        echo=asked.echo,
        grouped=asked.grouped,
    )
    if asked.stream:
        written = ResponseEvents(response)
        reply.serve(running, error_event=written.failed)
        await _stream(written, running, reply)
    else:
        reply.serve(running)
        await _whole(Whole(response), running, reply)


async def _stream(written: ResponseEvents, running: Generation, reply: Reply) -> None:
    async with contextlib.aclosing(running.events()) as batches:
        async for events in batches:
            await reply.write_events(written.write(events))


async def _whole(whole: Whole, running: Generation, reply: Reply) -> None:
    async with contextlib.aclosing(running.events()) as batches:
        async for events in batches:
            whole.take(events)
    await reply.write(whole.body(now=int(time.time())), JSON)
