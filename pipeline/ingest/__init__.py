"""From a stream of events to landing.sqlite.

``jetstream``, ``jetstream_v2`` and ``firehose`` each speak a wire, ``wires`` tells which and where to go on,
``seek`` finds a time on a firehose; ``operations`` and ``records`` read what users did and wrote into a
``store.events.EventBatch``. ``follow`` keeps a connection, ``frames`` cuts its bytes into messages,
``writer`` commits, ``stream_metrics`` says how it goes, ``service`` is the process. A message is decoded in
the writer's thread, so that the thread that reads the socket always answers pings.
"""
