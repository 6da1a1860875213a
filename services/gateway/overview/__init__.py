"""The mesh at a glance, as one gateway knows it."""
