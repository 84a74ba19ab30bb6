-- By which variant of an experiment the lists of a generation were made, EXPERIMENT/VARIANT; a generation that has no
-- row is of no experiment. A generation has lists of one variant alone.
CREATE TABLE variants (
  generation INTEGER PRIMARY KEY,
  variant    TEXT NOT NULL
);
