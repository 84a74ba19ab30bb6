"""What every request has, whatever it asks: its client, its log line, its metrics, the form of answers."""
