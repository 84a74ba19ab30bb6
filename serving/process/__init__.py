"""The processes of the web app: one parent that owns the port, its workers, and their connections."""
