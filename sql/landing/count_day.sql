-- Question: how many likes does a day hold now?
-- Writes: like_days. Parameters: :day in days since 1970, :change how many came (or, below 0, went).
INSERT INTO like_days (day, likes) VALUES (:day, :change)
ON CONFLICT (day) DO UPDATE SET likes = likes + excluded.likes
