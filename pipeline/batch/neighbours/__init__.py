"""The first product: who shares each viewer's taste, for everybody at once.

``author_ranges`` cuts the work. ``walk_range`` does it for one range of authors and ``product_block`` for one block of
viewers, both with the loops of ``like_loops``. ``like_graph`` and ``product_of_graph`` call these two again and again.
``changed`` restricts a run to viewers who changed. The job is ``batch.neighbours_job``.
"""
