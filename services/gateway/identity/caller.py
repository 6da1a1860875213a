"""Who makes the call that is being handled."""

import contextvars

from services.gateway.identity.grant import Grant

# Set by the interceptor that has checked the call, for the one task that handles it. Where nobody has, asking is a
# fault: what cannot be attributed to anybody is not served.
_CALLER: contextvars.ContextVar[Grant] = contextvars.ContextVar("caller")


def is_now(grant: Grant) -> None:
    """The call that this task handles is made with that key."""
    _CALLER.set(grant)


def current() -> Grant:
    """The key of the call that this task handles.

    Raises:
        LookupError: nobody has checked the call.
    """
    return _CALLER.get()
