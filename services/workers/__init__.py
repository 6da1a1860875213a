"""Workers: one process per provider, or per GPU set."""

from services.chassis import plain_structlog  # noqa: F401 (before whatever else imports structlog)
