"""All that writes: ingest, the store, the batch, the schedule, the simulated network, the command line.

``cli`` names every command; each folder's docstring says what it owns. The web app is ``serving``; the two
meet in the schema of serving.sqlite alone.
"""
