"""A synthetic AT Protocol network in one process: people, posts, likes, a Jetstream, a PLC directory, tokens.

Owns: everything that stands in for the network. Leaves to others: what foryou does with it. Other packages import
only ``command``, ``network``, ``timeline``, ``ground_truth`` and ``server.accounts``.

    parameters ── world/: people, communities ──► day plan ──► slot_maker ◄── posts, attention, odd_likes
                                                                   │ slots of ten minutes, as numpy columns
                                                                timeline ──► ground_truth
                                                                   │
                                                                lines/: JSON ──► server/: subscriptions, directory

Everything is a function of the seed: the same parameters give the same bytes.
"""
