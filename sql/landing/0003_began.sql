-- When the first event ever stored was seen: the day it is of is partial, unless a backfill brought what came before.
-- Empty in a store older than this table. Stretches that are missing since are in gaps.
CREATE TABLE began (
  id      INTEGER PRIMARY KEY CHECK (id = 1),
  seen_us INTEGER NOT NULL
);
