"""Strategies: which of the eligible workers serves a request. Pure."""
