"""The first product: which people share a viewer's taste, for everybody at once.

``author_ranges`` cuts the work, ``like_graph`` reads the likes into files with the loops of ``like_loops``, and
``product_of_graph`` multiplies. The job itself is ``batch.neighbours_job``.
"""
