"""The simulated network as a server: a Jetstream, a PLC directory and pages on one port."""
