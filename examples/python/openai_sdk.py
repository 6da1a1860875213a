"""Asks a mesh with OpenAI's SDK: whole, streamed, with a deadline, cancelled, vectors; and shows what failures say.

python openai_sdk.py [BASE_URL] [MODEL]
"""

import sys

import openai

LONG = "Count to two hundred: " + " ".join(str(number) for number in range(1, 201))


def whole(client: openai.OpenAI, model: str) -> None:
    question = "What is the capital of France?"
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": question}])
    print("whole:", answer.choices[0].message.content)


def stream(client: openai.OpenAI, model: str) -> None:
    print("stream: ", end="")
    text = "Say these words one after the other: red orange yellow green blue indigo violet"
    with client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": text}], stream=True
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


def failures(client: openai.OpenAI, model: str) -> None:
    hello = [{"role": "user", "content": "Hello"}]
    try:
        client.chat.completions.create(model="no-such-model", messages=hello)
    except openai.NotFoundError as error:
        print("failure:", error.status_code, error.code)
    try:
        # A field of the echo worker's own, which makes it fail. The SDK would try again twice, as late as it is told.
        busy = {"echo": {"fail": "ACCOUNTING_UNAVAILABLE", "retry_after_ms": 1500}}
        once = client.with_options(max_retries=0)
        once.chat.completions.create(model=model, messages=hello, extra_body=busy)
    except openai.APIStatusError as error:
        print("failure:", error.status_code, error.code, "retry after", error.response.headers["retry-after"], "s")


def vectors(client: openai.OpenAI, model: str) -> None:
    answer = client.embeddings.create(model=model, input=["one", "two"])
    print("vectors:", len(answer.data), "of", len(answer.data[0].embedding))


def main(base_url: str = "http://127.0.0.1:8080/v1", model: str = "echo") -> None:
    with openai.OpenAI(base_url=base_url, api_key="none") as client:
        for example in (whole, stream, deadline, cancel, failures, vectors):
            example(client, model)


if __name__ == "__main__":
    main(*sys.argv[1:])
