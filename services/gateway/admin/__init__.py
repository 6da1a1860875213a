"""The admin service: keys and usage, for operators."""
