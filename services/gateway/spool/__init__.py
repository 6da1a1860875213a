"""The spool: records on disk, which the gateway writes and the loader brings to PostgreSQL."""
