"""From a stream of events to landing.sqlite.

``jetstream`` speaks the wire and ``records`` reads what users wrote; both fill a ``store.events.EventBatch``.
``follow`` keeps a connection, ``writer`` commits, ``service`` is the process. A message is decoded in the
writer's thread, so that the thread that reads the socket always answers pings.
"""
