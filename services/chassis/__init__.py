"""What a process needs to be a process: configuration, logs, metrics, errors on the wire, server, channel."""
