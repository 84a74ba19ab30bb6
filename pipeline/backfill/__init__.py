"""History: likes that the stream does not bring any more.

Three sources: the archive of a Jetstream (``days``: ``archive`` fetches, ``segments`` decodes, ``spool`` keeps,
``day`` writes a day of the lake), the repository of one viewer (``viewers``), and a file of Jetstream lines
(``lines``). ``command`` is the command line's side of it, ``progress`` what the operator sees meanwhile.
"""
