-- Question: which part of the head's lists did this node take last?
-- Reads: none
-- Writes: taken_part
-- Grain: one row on a node, none elsewhere
-- Parameters: none
-- Units: none

-- chain names the head's serving.sqlite, part counts its parts (pipeline/nodes).
CREATE TABLE taken_part (
  id    INTEGER PRIMARY KEY CHECK (id = 1),
  chain TEXT    NOT NULL,
  part  INTEGER NOT NULL
);
