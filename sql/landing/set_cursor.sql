-- Question: where does the stream resume?
-- Reads: none
-- Writes: stream_cursors
-- Grain: one row per (host, wire)
-- Parameters: :host, :wire, :value, :event_us, :committed_us, :events_per_second
-- Units: value is in the wire's own space, _us are microseconds since 1970 (UTC)
INSERT INTO stream_cursors (host, wire, value, event_us, committed_us, events_per_second)
VALUES (
  :host, :wire, :value, :event_us,
  -- later than any other also when this machine's clock was set back
  max(:committed_us, (SELECT coalesce(max(committed_us), 0) + 1 FROM stream_cursors)),
  :events_per_second
)
ON CONFLICT (host, wire) DO UPDATE
SET value = excluded.value, event_us = excluded.event_us, committed_us = excluded.committed_us,
    events_per_second = excluded.events_per_second
