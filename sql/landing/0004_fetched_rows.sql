-- Question: how many likes did repositories of strangers bring on each day?
-- Reads: none
-- Writes: fetched_rows
-- Grain: one row per day of the stream
-- Parameters: none
-- Units: day in days since 1970

-- Written with the likes, so that the limit of a day (pipeline/store/fetch_admission.py) holds across runs.
CREATE TABLE fetched_rows (
  day   INTEGER PRIMARY KEY,
  likes INTEGER NOT NULL
);
