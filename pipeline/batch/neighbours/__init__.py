"""The first product: who shares each viewer's taste, for everybody at once.

``author_ranges`` cuts the work. ``like_graph`` reads the likes into files, with the loops of ``like_loops``.
``product_of_graph`` multiplies. ``changed`` restricts a run to viewers who changed. The job is
``batch.neighbours_job``.
"""
