"""`hybrid chat`: one question, answered as it is generated."""

import openai

from services.cli import sdk
from services.cli.problem import Problem
from services.cli.state import MeshState


def chat(mesh: MeshState, question: str, model: str | None) -> None:
    """Stream the answer to the terminal.

    Raises:
        Problem: with what the edge said.
    """
    begun = False
    try:
        with sdk.client(mesh) as client:
            stream = client.chat.completions.create(
                model=model or mesh.models[0], messages=[{"role": "user", "content": question}], stream=True
            )
            for chunk in stream:
                for choice in chunk.choices:
                    begun = True
                    print(choice.delta.content or "", end="", flush=True)
    except Problem as problem:
        if begun and isinstance(problem.__cause__, openai.APIConnectionError):
            raise Problem("the connection broke before the answer was whole") from problem
        raise
    finally:
        if begun:  # also when it breaks off: what comes next begins a line
            print(flush=True)
