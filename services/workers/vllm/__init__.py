"""The vLLM provider: an engine in the worker's own process. Nothing here imports vLLM until an engine is built."""
