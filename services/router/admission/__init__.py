"""Admission: who waits for a worker, in which order, and who is told at once to come back later. Pure."""
