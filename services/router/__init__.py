"""The router: decides which worker serves the next attempt, and whether there is a next attempt."""

from services.chassis import plain_structlog  # noqa: F401 (before whatever else imports structlog)
