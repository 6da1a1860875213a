"""One run for all tries of one request: what `Idempotency-Key` promises."""
