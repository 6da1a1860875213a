"""The loader: from a spool on disk to PostgreSQL, each record once."""
