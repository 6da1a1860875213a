"""What a request says beyond what is understood: refused, dropped, or kept for the provider to judge."""

from collections.abc import Collection, Mapping

from services.gateway.openai.fields import Fields, refuse

# Said for caches or dashboards: without them the answer is the same.
HARMLESS = frozenset({"metadata", "store", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"})


def session(fields: Fields) -> str:
    """What a client calls the conversation, so that caches of its earlier turns are found; "" where it does not.

    Raises:
        Failure: SPEC_INVALID, naming the member.
    """
    return fields.text("prompt_cache_key") or ""


def beyond(fields: Fields, *, known: Collection[str], refused: Mapping[str, str]) -> dict[str, object]:
    """The members of a body that are for the provider to judge, in their order.

    Args:
        fields: the body.
        known: names of members that are read elsewhere, or change nothing.
        refused: names of members that would change the answer in ways that are not there, each with what is said then.

    Raises:
        Failure: SPEC_INVALID, naming the member.
    """
    if fields.boolean("store"):
        refuse("store", "must be false: answers are not stored.")
    fields.members("metadata")
    rest: dict[str, object] = {}
    for name in fields.names():
        if name in refused:
            refuse(name, refused[name])
        if name in known or name in HARMLESS:
            continue
        # `auto` and `default` ask for nothing; another tier has another price, which is for its provider to say.
        if name == "service_tier" and fields.text(name) in ("auto", "default"):
            continue
        rest[name] = fields.get(name)
    return rest
