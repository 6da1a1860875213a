"""Asks a mesh with OpenAI's SDK: whole, streamed, with a deadline, cancelled, vectors; and shows what failures say.

python openai_sdk.py [BASE_URL] [MODEL]
"""

import sys

import openai

LONG = "Count to two hundred: " + " ".join(str(number) for number in range(1, 201))


def whole(client: openai.OpenAI, model: str) -> None:
    question = "What is the capital of France?"
    messages = [{"role": "user", "content": question}]
    answer = client.chat.completions.create(model=model, messages=messages, max_completion_tokens=256)
    print("whole:", answer.choices[0].message.content)


def stream(client: openai.OpenAI, model: str) -> None:
    print("stream: ", end="")
    text = "Say these words one after the other: red orange yellow green blue indigo violet"
    messages = [{"role": "user", "content": text}]
    with client.chat.completions.create(
        model=model, messages=messages, max_completion_tokens=256, stream=True
    ) as chunks:
        for chunk in chunks:
            print("".join(choice.delta.content or "" for choice in chunk.choices), end="", flush=True)
    print()


def deadline(client: openai.OpenAI, model: str) -> None:
    try:
        messages = [{"role": "user", "content": LONG}]
        client.with_options(timeout=0.3, max_retries=0).chat.completions.create(model=model, messages=messages)
    except openai.APITimeoutError:
        print("deadline: APITimeoutError")


def cancel(client: openai.OpenAI, model: str) -> None:
    with client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": LONG}], stream=True
    ) as chunks:
        for chunk in chunks:
            if any(choice.delta.content for choice in chunk.choices):
                break  # leaving the block closes the connection, which ends the work behind the mesh, too
    print("cancelled")


def explain(error: openai.APIStatusError) -> str:
    """Why a call failed, for a program to act on: status, code, and when to come back."""
    after = error.response.headers.get("retry-after")
    return f"{error.status_code} {error.code}" + (f", retry after {after} s" if after else "")


def failures(client: openai.OpenAI, model: str) -> None:
    # A field that an echo worker alone takes: it fails. The SDK would try again twice, as late as it is told.
    busy = {"echo": {"fail": "ACCOUNTING_UNAVAILABLE", "retry_after_ms": 1500}}
    once = client.with_options(max_retries=0)
    for name, more in (("no-such-model", {}), (model, busy)):
        try:
            messages = [{"role": "user", "content": "Hello"}]
            once.chat.completions.create(model=name, messages=messages, extra_body=more)
        except openai.APIStatusError as error:
            print("failure:", explain(error))


def vectors(client: openai.OpenAI, model: str) -> None:
    try:
        answer = client.embeddings.create(model=model, input=["one", "two"])
        print("vectors:", len(answer.data), "of", len(answer.data[0].embedding))
    except openai.APIStatusError as error:
        print("failure:", explain(error))


def main(base_url: str = "http://127.0.0.1:8080/v1", model: str = "echo") -> None:
    with openai.OpenAI(base_url=base_url, api_key="none") as client:
        for example in (whole, stream, deadline, cancel, failures, vectors):
            example(client, model)


if __name__ == "__main__":
    main(*sys.argv[1:])
