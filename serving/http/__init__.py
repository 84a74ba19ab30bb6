"""What all requests have in common: the client, the log line, the metrics, and the form of answers."""
