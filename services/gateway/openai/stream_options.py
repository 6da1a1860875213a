"""What a client asks of a stream."""

from services.gateway.openai.fields import Fields


def include_usage(fields: Fields) -> bool:
    """Whether the client wants to be told the usage at the end of a stream.

    Raises:
        Failure: SPEC_INVALID, with what is expected and the path of the mistake.
    """
    options = fields.members("stream_options")
    if options is None:
        return False
    # vLLM's own, which load generators send: usage in every chunk. They count what comes last, and that is there.
    options.boolean("continuous_usage_stats")
    options.boolean("include_obfuscation")
    return options.boolean("include_usage") or False
