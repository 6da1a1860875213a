"""`python -m benchmarks.skeleton.gateway`: OpenAI's wire format over one session."""

import argparse
import asyncio
import itertools
import json
from typing import Any

import grpc
import uvloop
from google.api.httpbody_pb2 import HttpBody
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from hybridinference.gateway.v1 import openai_service_pb2 as openai

from benchmarks.child import commands
from benchmarks.skeleton.messages import PATH, Start, Step
from benchmarks.skeleton.sse import piece

_NAME = openai.DESCRIPTOR.services_by_name["OpenAIService"].full_name


class Gateway:
    """Each request is a stream of the session."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._inboxes: dict[int, asyncio.Queue[Any]] = {}
        self._numbers = itertools.count(1)
        self._commands: asyncio.Queue[Any] = asyncio.Queue()

    async def read(self) -> None:
        """Hand each piece to its stream."""
        while (step := await self._call.read()) is not grpc.aio.EOF:
            for one in step.pieces:
                inbox = self._inboxes.get(one.stream)
                if inbox is not None:
                    inbox.put_nowait(one)

    async def write(self) -> None:
        """Pass on what the requests say: a write that is cancelled with its request would end the whole session."""
        while True:
            await self._call.write(await self._commands.get())

    async def answer(self, request: HttpBody, context: Any) -> None:
        """One chat completion."""
        asked = json.loads(request.data)
        number = next(self._numbers)
        inbox = self._inboxes[number] = asyncio.Queue()
        try:
            self._commands.put_nowait(Start(stream=number, tokens=asked["echo"]["tokens"]))
            await (_stream if asked["stream"] else _whole)(inbox, context)
        finally:
            del self._inboxes[number]
            self._commands.put_nowait(Start(stream=number, tokens=0))


async def _stream(inbox: "asyncio.Queue[Any]", context: Any) -> None:
    last = False
    while not last:
        one = await inbox.get()
        last = one.last
        await context.write(HttpBody(content_type="text/event-stream", data=piece(one.text)))


async def _whole(inbox: "asyncio.Queue[Any]", context: Any) -> None:
    texts = []
    last = False
    while not last:
        one = await inbox.get()
        texts.append(one.text)
        last = one.last
    body = {"object": "chat.completion", "choices": [{"message": {"role": "assistant", "content": "".join(texts)}}]}
    await context.write(HttpBody(content_type="application/json", data=json.dumps(body).encode()))


async def run(listen: str, worker: str) -> None:
    """Serve until the parent is gone."""
    async with grpc.aio.insecure_channel(worker, options=[("grpc.default_authority", "localhost")]) as channel:
        call = channel.stream_stream(
            PATH, request_serializer=Start.SerializeToString, response_deserializer=Step.FromString
        )()
        gateway = Gateway(call)
        carrying = [asyncio.create_task(gateway.read()), asyncio.create_task(gateway.write())]
        server = grpc.aio.server()
        handler = grpc.unary_stream_rpc_method_handler(
            gateway.answer, request_deserializer=HttpBody.FromString, response_serializer=HttpBody.SerializeToString
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_NAME, {"CreateChatCompletion": handler}),)
        )
        health = HealthServicer()  # the mesh's edge asks for it
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
        await health.set(_NAME, health_pb2.HealthCheckResponse.SERVING)
        server.add_insecure_port(listen)
        await server.start()
        async for _ in commands():
            pass
        for task in carrying:
            task.cancel()
        await server.stop(None)


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.skeleton.gateway")
    parser.add_argument("--listen", required=True)
    parser.add_argument("--worker", required=True)
    arguments = parser.parse_args()
    uvloop.run(run(arguments.listen, arguments.worker))


if __name__ == "__main__":
    main()
