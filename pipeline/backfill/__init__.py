"""History: likes that the stream no longer brings.

There are three sources: the archive of a Jetstream (``archived_days``; ``archive`` fetches, ``segments`` decodes,
``spool`` stores, ``day_into_lake`` writes a day of the lake), the repository of one viewer (``viewer_repository``;
``fetch_waiting`` reads those of all who wait, in the order of ``fetch_turns``), and a file of Jetstream lines
(``file_of_lines``). ``command`` reads the command's flags.
"""
