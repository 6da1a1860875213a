"""POST /v1/explain: what would happen to a request of another path."""
