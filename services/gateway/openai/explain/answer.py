"""POST /v1/explain, from the body to the answer."""

from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.arrival import Arrival
from services.gateway.explainer import Explainer
from services.gateway.openai.chat.request import parse_chat
from services.gateway.openai.completions.request import parse_completion
from services.gateway.openai.explain.response import body_of
from services.gateway.openai.fields import Fields, json_body, refuse
from services.gateway.openai.reply import JSON, Reply


async def answer(body: bytes, arrival: Arrival, explainer: Explainer, reply: Reply) -> None:
    """Answer with what would happen to a chat, or with a `prompt` to a completion.

    Raises:
        Failure: why that cannot be told.
    """
    spec, session = _asked(body)
    call = arrival.call(spec, api="openai", streamed=False, routing=arrival.hints(session=session))
    told = await explainer.explain(call)
    await reply.write(body_of(told, model=call.spec.model, param_of=reply.param_of), JSON)


def _asked(body: bytes) -> tuple[generation.GenerationSpec, str]:
    fields = Fields(json_body(body), "")
    if fields.get("prompt") is None:
        chat = parse_chat(body)
        return chat.spec, chat.session
    completion = parse_completion(body)
    if len(completion.specs) > 1:
        refuse("prompt", "must be one prompt: each of several would be placed by itself.")
    return completion.specs[0], completion.session
