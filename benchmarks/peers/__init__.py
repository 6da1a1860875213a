"""What others have built for the same place, each from its registry and by a lock, started before the same server."""
