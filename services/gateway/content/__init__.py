"""What is kept of what is said, as the key's policy wants it."""
