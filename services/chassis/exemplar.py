"""Which trace shows an example of what a histogram has counted."""

from services.chassis.traceparent import sampled_trace_id


def exemplar_of(traceparent: str) -> dict[str, str] | None:
    """The labels of an exemplar; None without a trace, or for one whose spans nobody keeps."""
    trace_id = sampled_trace_id(traceparent)
    return {"trace_id": trace_id} if trace_id else None
