"""What the operator of an installation needs: its state, its checks, its backups, its record at Bluesky."""
