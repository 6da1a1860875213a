"""The `hybrid` command: starts a mesh on this host, watches over it, and talks to it."""
