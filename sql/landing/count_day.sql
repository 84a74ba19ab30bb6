-- Question: how many likes does a day hold now?
-- Reads: none
-- Writes: like_days
-- Grain: one row per day
-- Parameters: :day, :change (likes added, below 0 removed)
-- Units: day is in days since 1970
INSERT INTO like_days (day, likes) VALUES (:day, :change)
ON CONFLICT (day) DO UPDATE SET likes = likes + excluded.likes
