"""The simulated network as a server: a Jetstream, a PLC directory and information pages on one port."""
