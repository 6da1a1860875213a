"""Asks a mesh over typed gRPC: whole, streamed, with a deadline, cancelled; and shows what failures say.

python typed.py [ADDRESS] [MODEL]
"""

import json
import sys

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.gateway.v1 import inference_service_pb2_grpc as inference_grpc
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation

LONG = "Count to two hundred: " + " ".join(str(number) for number in range(1, 201))


def ask(model: str, text: str, **options: object) -> generation.GenerationSpec:
    """What to generate. Options are for one kind of provider alone; these here for an echo worker."""
    message = conversation.Message(role=conversation.ROLE_USER, parts=[conversation.Part(text=text)])
    more = json.dumps(options) if options else ""
    return generation.GenerationSpec(model=model, messages=[message], max_output_tokens=256, provider_options_json=more)


def explain(error: grpc.RpcError) -> str:
    """Why a call failed, for a program to act on: the reason with its metadata, and when to come back."""
    said = [error.code().name]
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            said += [info.reason, *(f"{key}={value}" for key, value in sorted(info.metadata.items()))]
        elif detail.Unpack(retry):
            said.append(f"retry after {retry.retry_delay.ToMilliseconds()} ms")
    return ", ".join(said)


def whole(client: inference_grpc.InferenceServiceStub, model: str) -> None:
    answer = client.Generate(inference.GenerateRequest(spec=ask(model, "What is the capital of France?")), timeout=60)
    print("whole:", answer.choices[0].content.text)
    print("tokens:", answer.usage.input_tokens, "in,", answer.usage.output_tokens, "out")


def stream(client: inference_grpc.InferenceServiceStub, model: str) -> None:
    print("stream: ", end="")
    text = "Say these words one after the other: red orange yellow green blue indigo violet"
    for answer in client.StreamGenerate(inference.StreamGenerateRequest(spec=ask(model, text)), timeout=60):
        print(answer.event.delta.text, end="", flush=True)
    print()


def deadline(client: inference_grpc.InferenceServiceStub, model: str) -> None:
    try:
        client.Generate(inference.GenerateRequest(spec=ask(model, LONG)), timeout=0.3)
    except grpc.RpcError as error:
        print("deadline:", error.code().name)


def cancel(client: inference_grpc.InferenceServiceStub, model: str) -> None:
    call = client.StreamGenerate(inference.StreamGenerateRequest(spec=ask(model, LONG)))
    try:
        for answer in call:
            if answer.event.delta.text:
                call.cancel()  # ends the work behind the mesh, too
    except grpc.RpcError as error:
        print("cancelled:", error.code().name)


def failures(client: inference_grpc.InferenceServiceStub, model: str) -> None:
    busy = {"fail": "ACCOUNTING_UNAVAILABLE", "retry_after_ms": 1500}
    for spec in (ask("no-such-model", "Hello"), ask(model, "Hello", echo=busy)):
        try:
            client.Generate(inference.GenerateRequest(spec=spec), timeout=60)
        except grpc.RpcError as error:
            print("failure:", explain(error))


def main(address: str = "127.0.0.1:8080", model: str = "echo") -> None:
    with grpc.insecure_channel(address) as channel:
        client = inference_grpc.InferenceServiceStub(channel)
        for example in (whole, stream, deadline, cancel, failures):
            example(client, model)


if __name__ == "__main__":
    main(*sys.argv[1:])
