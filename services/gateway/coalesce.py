"""Neighbouring pieces of one choice joined into one event: fewer messages while a client is slow to take them."""

import itertools
from collections.abc import Sequence

from hybridinference.inference.v1 import generation_pb2 as generation

Event = generation.GenerationEvent


def coalesce(events: Sequence[Event]) -> Sequence[Event]:
    """Join runs of deltas of the same choice. What they sum up to is unchanged."""
    if len(events) < 2:
        return events
    joined: list[Event] = []
    for choice, run in itertools.groupby(events, _choice):
        same = list(run)
        joined += same if choice is None or len(same) == 1 else [_merged(same)]
    return joined


def _choice(event: Event) -> int | None:
    return event.delta.choice if event.HasField("delta") else None


def _merged(events: Sequence[Event]) -> Event:
    deltas = [event.delta for event in events]
    merged = generation.Delta(
        choice=deltas[0].choice,
        # Joined once: appending to a protobuf string copies it each time.
        text="".join([delta.text for delta in deltas]),
        reasoning="".join([delta.reasoning for delta in deltas]),
        refusal="".join([delta.refusal for delta in deltas]),
        tokens=sum([delta.tokens for delta in deltas]),
    )
    for delta in deltas:
        merged.logprobs.extend(delta.logprobs)
        merged.token_ids.extend(delta.token_ids)
        merged.tool_calls.extend(delta.tool_calls)
    return Event(delta=merged)
