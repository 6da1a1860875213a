"""Neighbouring pieces of one choice joined into one event: fewer messages while a client is slow to take them."""

from collections.abc import Sequence

from hybridinference.inference.v1 import generation_pb2 as generation

Event = generation.GenerationEvent


def coalesce(events: Sequence[Event]) -> Sequence[Event]:
    """Join runs of deltas of the same choice. What they sum up to is unchanged."""
    if len(events) < 2:
        return events
    joined: list[Event] = []
    for event in events:
        last = joined[-1] if joined else None
        if last is None or not _joinable(last, event):
            joined.append(event)
            continue
        merged = Event()
        merged.CopyFrom(last)
        delta = merged.delta
        delta.text += event.delta.text
        delta.reasoning += event.delta.reasoning
        delta.refusal += event.delta.refusal
        delta.tokens += event.delta.tokens
        delta.logprobs.extend(event.delta.logprobs)
        delta.token_ids.extend(event.delta.token_ids)
        delta.tool_calls.extend(event.delta.tool_calls)
        joined[-1] = merged
    return joined


def _joinable(first: Event, second: Event) -> bool:
    both = first.HasField("delta") and second.HasField("delta")
    return both and first.delta.choice == second.delta.choice
