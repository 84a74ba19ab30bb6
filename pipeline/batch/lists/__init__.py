"""The second product: from ranked posts to finished, checked lists.

``product`` ranks. ``arrange`` applies the rules after ranking, of which ``trial_places`` is one. ``make_lists`` stages
the result, and ``checks`` looks through it. ``taste_sketches`` says in 64 bits who likes a post. The job is
``batch.candidates_job``.
"""
