"""From a stream of events to landing.sqlite.

``jetstream`` and ``firehose`` each speak a wire, ``wires`` tells which; ``operations`` and ``records`` read what
users did and wrote into a ``store.events.EventBatch``.
``follow`` keeps a connection, ``writer`` commits, ``service`` is the process. A message is decoded in the
writer's thread, so that the thread that reads the socket always answers pings.
"""
