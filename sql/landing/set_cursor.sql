-- Question: where does the stream resume?
-- Writes: stream_cursors. Parameters: :host, :wire, :value in the wire's own space, :event_us, :committed_us,
--   :events_per_second.
INSERT INTO stream_cursors (host, wire, value, event_us, committed_us, events_per_second)
VALUES (:host, :wire, :value, :event_us, :committed_us, :events_per_second)
ON CONFLICT (host, wire) DO UPDATE
SET value = excluded.value, event_us = excluded.event_us, committed_us = excluded.committed_us,
    events_per_second = excluded.events_per_second
