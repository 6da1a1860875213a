"""The gateway: who calls, whether the request is sound, and what became of it."""

from services.chassis import plain_structlog  # noqa: F401 (before whatever else imports structlog)
