-- By which variant of an experiment the lists of a generation were made, EXPERIMENT/VARIANT; a generation that has no
-- row is of no experiment. A generation has lists of one variant alone.
CREATE TABLE variants (
  generation INTEGER PRIMARY KEY,
  variant    TEXT NOT NULL
);
-- A list's source may be 3, explore: of co-likers, but tried before its turn, since few like it yet.
