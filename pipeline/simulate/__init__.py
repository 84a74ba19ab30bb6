"""A synthetic AT Protocol network in one process: people, posts, likes, a Jetstream, a PLC directory, tokens.

Owns: everything that pretends to be the network. Leaves to others: what foryou does with it; nothing outside
this package imports its insides, only ``world``, ``record``, ``accounts``, ``network`` and ``command``.

    parameters ── people, communities ──► plan ──► generator ◄── posts, attention, mischief
                                                      │ slots of ten minutes, numpy columns
                                                    world ──► record, calibration
                                                      │
                                                    render ──► server (subscriptions, faults, directory)

All is a function of the seed: the same parameters give the same bytes.
"""
