"""The second product and what becomes of it: from ranked posts to finished, checked lists.

``product`` ranks, ``arrange`` applies the rules after ranking (``trial_places`` is one of them), ``make_lists`` stages
the result, ``checks`` looks through it. The job itself is ``batch.candidates_job``.
"""
