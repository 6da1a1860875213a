"""Pictures and files that a request names by address, fetched under guard."""
