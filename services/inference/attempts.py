"""How an attempt stands to those before it, in the words of ledger and metrics."""

from hybridinference.router.v1 import placement_pb2 as placement

_WORDS = {
    placement.ATTEMPT_KIND_RETRY: "retry",
    placement.ATTEMPT_KIND_HEDGE: "hedge",
    placement.ATTEMPT_KIND_CONTINUATION: "continuation",
    placement.ATTEMPT_KIND_SHADOW: "shadow",
}

FIRST = "first"
KINDS = (FIRST, *_WORDS.values())


def kind_word(kind: placement.AttemptKind) -> str:
    """The kind as a word; empty for a first attempt, and for a kind that a newer peer knows."""
    return _WORDS.get(kind, "")
