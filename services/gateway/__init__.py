"""The gateway: who calls, whether the request is sound, and what became of it."""
