"""What the workers of all vendors over HTTP have in common: keys, connections, streams of events, failures."""
