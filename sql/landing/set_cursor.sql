-- Question: where does the stream resume?
-- Writes: stream_cursors. Parameters: :host, :wire, :value in the wire's own space, :event_us, :committed_us.
INSERT INTO stream_cursors (host, wire, value, event_us, committed_us)
VALUES (:host, :wire, :value, :event_us, :committed_us)
ON CONFLICT (host, wire) DO UPDATE
SET value = excluded.value, event_us = excluded.event_us, committed_us = excluded.committed_us
