"""What comes back of a call to the OpenAI face."""

import dataclasses
import json
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody


@dataclasses.dataclass
class Answer:
    """Everything that came of one call, to its end."""

    metadata: dict[str, str]
    bodies: list[HttpBody]
    code: grpc.StatusCode

    @property
    def kind(self) -> str:
        return self.bodies[0].content_type

    @property
    def data(self) -> bytes:
        return b"".join(body.data for body in self.bodies)

    @property
    def json(self) -> Any:
        return json.loads(self.data)

    @property
    def events(self) -> list[Any]:
        """The data of the stream's events, without comments; the last is `[DONE]` as text."""
        lines = [line.removeprefix("data: ") for line in self.data.decode().splitlines() if line and line[0] != ":"]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]


async def received(call: Any) -> Answer:
    """The answer of a call, or what is left of one that is being read."""
    bodies = []
    while (one := await call.read()) is not grpc.aio.EOF:
        bodies.append(one)
    metadata = {str(key): str(value) for key, value in await call.initial_metadata() or ()}
    return Answer(metadata, bodies, await call.code())
