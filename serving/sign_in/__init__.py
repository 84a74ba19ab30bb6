"""Signing in with an account of the network, by AT Protocol OAuth: who somebody is, and nothing else."""
