"""`hybrid chat`: one question, answered as it is generated."""

import ssl

import openai

from services.cli.problem import Problem
from services.cli.state import MeshState

_SECONDS = 600.0


def chat(mesh: MeshState, question: str, model: str | None) -> None:
    """Stream the answer to the terminal.

    Raises:
        Problem: with what the edge said.
    """
    # The mesh retries by itself, knowing more than a client. The edge needs no key, but the SDK wants one.
    client = openai.OpenAI(
        base_url=f"{mesh.edge}/v1",
        api_key="none",
        max_retries=0,
        timeout=_SECONDS,
        http_client=openai.DefaultHttpxClient(verify=_trust(mesh.certificate)) if mesh.certificate else None,
    )
    begun = False
    try:
        stream = client.chat.completions.create(
            model=model or mesh.models[0], messages=[{"role": "user", "content": question}], stream=True
        )
        for chunk in stream:
            for choice in chunk.choices:
                begun = True
                print(choice.delta.content or "", end="", flush=True)
    except openai.APIConnectionError as error:
        if begun:
            raise Problem("the connection broke before the answer was whole") from error
        raise Problem(f"{mesh.edge} does not answer; `hybrid status` says what is missing") from error
    except openai.APIError as error:
        said = error.body.get("message") if isinstance(error.body, dict) else None
        raise Problem(str(said or error.message)) from error
    finally:
        if begun:  # also when it breaks off: what comes next begins a line
            print(flush=True)


def _trust(certificate: str) -> ssl.SSLContext:
    """Trust in the edge's certificate, whoever has signed it and whatever name it is for, and in no other."""
    context = ssl.create_default_context(cafile=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return context
