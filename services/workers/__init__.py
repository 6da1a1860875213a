"""Workers: one process per provider, or per GPU set."""
