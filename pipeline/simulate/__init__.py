"""A synthetic AT Protocol network in one process: people, posts, likes, a Jetstream, a PLC directory, tokens.

Owns: everything that pretends to be the network. Leaves to others: what foryou does with it; nothing outside
this package imports its insides, only ``timeline``, ``world_record``, ``accounts``, ``in_process`` and
``command``.

    parameters ── world/: people, communities ──► plan ──► generator ◄── posts, attention, odd_likes
                                                             │ slots of ten minutes, numpy columns
                                                          timeline ──► world_record
                                                             │
                                                          lines/render ──► server/ (subscriptions, directory)

All is a function of the seed: the same parameters give the same bytes.
"""
