"""POST /v1/embeddings, from the body to the last byte of the answer."""

from services.gateway.arrival import Arrival
from services.gateway.openai.embeddings.request import parse_embedding
from services.gateway.openai.embeddings.response import pieces
from services.gateway.openai.reply import JSON, Reply
from services.gateway.relay import Relay


async def answer(body: bytes, arrival: Arrival, relay: Relay, reply: Reply) -> None:
    """Answer a request for an embedding.

    Raises:
        Failure: why there is no answer.
    """
    asked = parse_embedding(body)
    running = await relay.embed(arrival.call(asked.spec, api="openai", streamed=False, routing=arrival.hints()))
    reply.serve(running)
    async with running.vectors() as served:
        for piece in pieces(served, model=asked.spec.model, in_base64=asked.in_base64):
            await reply.write(piece, JSON)
