"""History: likes that the stream does not bring any more.

Three sources: the archive of a Jetstream (``archived_days``: ``archive`` fetches, ``segments`` decodes,
``spool`` keeps, ``day_into_lake`` writes a day of the lake), the repository of one viewer
(``viewer_repository``), and a file of Jetstream lines (``file_of_lines``). ``command`` is the command line's
side of it, ``progress`` what the operator sees meanwhile.
"""
