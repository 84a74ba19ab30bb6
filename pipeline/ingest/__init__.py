"""From a stream of events to landing.sqlite.

``jetstream``, ``jetstream_v2`` and ``firehose`` each decode a wire. ``wires`` decides which one and where to resume;
``seek`` finds a time on a firehose. ``operations`` and ``records`` read what users did and wrote into a
``store.events.EventBatch``. ``follow`` keeps a connection, ``frames`` cuts its bytes into messages, ``writer`` commits,
``stream_metrics`` measures, ``labels`` does the same for the streams of labelers, ``service`` is the process. The
writer's thread decodes, so that the thread that reads the socket always answers pings.
"""
