"""The remote path: the mesh and its peers in front of the same fake OpenAI server, under the same load, in turn."""
