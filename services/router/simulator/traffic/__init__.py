"""Requests and when they come: from traces, or from a generator."""
