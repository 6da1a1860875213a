"""Imports structlog without rich, which it takes along for tracebacks in colours; no process here prints any.

Four of the forty megabytes of a process, and a part of its start. Has to come before any other import of structlog.
"""

import sys

if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment] # cannot be imported for as long as that stands there
    import structlog  # noqa: F401

    del sys.modules["rich"]
