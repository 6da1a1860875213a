"""Tokens, guessed where a vendor does not count them."""

from hybridinference.inference.v1 import generation_pb2 as generation

# English text has about four bytes a token with every current tokenizer.
_BYTES_PER_TOKEN = 4


def estimated(*, prompt_bytes: int, answer_bytes: int = 0, pieces: int = 0) -> generation.Usage:
    """A guess: by size, and for the answer no less than one token a piece."""
    return generation.Usage(
        input_tokens=_tokens(prompt_bytes), output_tokens=max(_tokens(answer_bytes), pieces), estimated=True
    )


def _tokens(size: int) -> int:
    return -(-size // _BYTES_PER_TOKEN)
