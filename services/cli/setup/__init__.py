"""From a fresh clone to ready environments, with nothing but the standard library of Python 3.11."""
