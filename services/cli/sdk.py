"""OpenAI's SDK before the mesh of a home."""

import contextlib
import os
import ssl
from collections.abc import Iterator

import openai

from services.cli.examples import VARIABLE
from services.cli.problem import Problem
from services.cli.state import MeshState

_SECONDS = 600.0


@contextlib.contextmanager
def client(mesh: MeshState) -> Iterator[openai.OpenAI]:
    """A client of the edge, which tries nothing again.

    Raises:
        Problem: inside the context, with what the edge said, or that it does not answer.
    """
    if not mesh.edge:
        raise Problem(f"`{mesh.host}` has no edge; ask on a host that runs `envoy`")
    # The mesh retries by itself, knowing more than a client. The SDK wants a key also where the edge needs none.
    with openai.OpenAI(
        base_url=f"{mesh.edge}/v1",
        api_key=os.environ.get(VARIABLE) or "none",
        max_retries=0,
        timeout=_SECONDS,
        http_client=openai.DefaultHttpxClient(verify=_trust(mesh.certificate)) if mesh.certificate else None,
    ) as opened:
        try:
            yield opened
        except openai.APIConnectionError as error:
            raise Problem(f"{mesh.edge} does not answer; `hybrid status` says what is missing") from error
        except openai.AuthenticationError as error:
            raise Problem(f"{_said(error)} This command sends the one in {VARIABLE}.") from error
        except openai.APIError as error:
            raise Problem(_said(error)) from error


def _said(error: openai.APIError) -> str:
    """What the mesh said of a failure."""
    said = error.body.get("message") if isinstance(error.body, dict) else None
    return str(said or error.message)


def _trust(certificate: str) -> ssl.SSLContext:
    """Trust in the edge's certificate, whoever has signed it and whatever name it is for, and in no other."""
    context = ssl.create_default_context(cafile=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return context
