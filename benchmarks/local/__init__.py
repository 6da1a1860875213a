"""The whole local path: a model on vLLM's CPU engine, behind the mesh and behind others' servers."""
