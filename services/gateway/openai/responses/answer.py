"""POST /v1/responses, from the body to the last byte of the answer."""

import contextlib
import time

from services.gateway.arrival import Arrival
from services.gateway.generation import Generation
from services.gateway.openai import dropped
from services.gateway.openai.reply import EVENTS, JSON, Reply
from services.gateway.openai.responses.events import ResponseEvents
from services.gateway.openai.responses.params import Params
from services.gateway.openai.responses.request import ResponseRequest, parse_response
from services.gateway.openai.responses.response import Response
from services.gateway.openai.responses.whole import Whole
from services.gateway.relay import Relay


async def answer(body: bytes, arrival: Arrival, relay: Relay, reply: Reply) -> None:
    """Answer a request for a response.

    Raises:
        Failure: why there is no answer, or no whole one.
    """
    reply.param_of = Params().of
    asked = parse_response(body)
    reply.param_of = asked.params.of
    running = relay.begin(arrival.call(asked.spec, api="openai", streamed=asked.stream))
    response = Response(identity=running.id, created=int(time.time()), model=asked.spec.model, echo=asked.echo)
    if asked.stream:
        await _stream(asked, response, running, reply)
    else:
        await _whole(asked, response, running, reply)


async def _stream(asked: ResponseRequest, response: Response, running: Generation, reply: Reply) -> None:
    written = ResponseEvents(response, asked.params.of)
    reply.ending = written.failed
    async with contextlib.aclosing(running.events()) as batches:
        async for events in batches:
            if running.dropped and not reply.headers:
                reply.headers = dropped.header(running.dropped, asked.spec, asked.params.of)
            await reply.write(written.write(events), EVENTS)


async def _whole(asked: ResponseRequest, response: Response, running: Generation, reply: Reply) -> None:
    whole = Whole(response)
    async with contextlib.aclosing(running.events()) as batches:
        async for events in batches:
            whole.take(events)
    reply.headers = dropped.header(running.dropped, asked.spec, asked.params.of)
    await reply.write(whole.body(now=int(time.time())), JSON)
