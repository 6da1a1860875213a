"""The one configuration file, as frozen models."""
