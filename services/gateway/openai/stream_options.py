"""What a client asks of a stream."""

from services.gateway.openai.fields import Fields, refuse


def include_usage(fields: Fields) -> bool:
    """Whether the client wants to be told the usage at the end of a stream.

    Raises:
        Failure: SPEC_INVALID, with what is expected and the path of the mistake.
    """
    options = fields.members("stream_options")
    if options is None:
        return False
    # vLLM's own: it would put usage into every chunk.
    if options.boolean("continuous_usage_stats"):
        refuse(options.path("continuous_usage_stats"), "is not supported; usage comes once, at the end.")
    options.boolean("include_obfuscation")
    return options.boolean("include_usage") or False
