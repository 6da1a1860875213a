"""Side-by-side measurements of a running mesh, for anyone to repeat."""
