-- Question: which parameters does the ranking have, and what are their defaults?
-- Reads: none
-- Writes: none (DuckDB variables)
-- Grain: one variable per parameter
-- Parameters: none
-- Units: in the names; pipeline/ranking.py has meanings and sources

-- Set by each run: the stream time of the snapshot, and how far back its likes go.
SET VARIABLE snapshot_us = 0::BIGINT;
SET VARIABLE window_hours = 2160.0::DOUBLE;
-- Posts that nobody liked within so many hours are left out with all their likes: alive_posts.sql.
SET VARIABLE whole_hours = 87600.0::DOUBLE;
-- A forecast is of the likes of so many hours (pipeline/batch/forecast/learning.py).
SET VARIABLE forecast_hours = 6.0::DOUBLE;
-- How long before a snapshot a like may have been made that came after it: changed_viewers.sql.
SET VARIABLE reported_late_us = 0::BIGINT;
-- The range of authors whose likes are read, by actor_id: likes_of_authors.sql.
SET VARIABLE first_author = 0;
SET VARIABLE last_author = 2147483647;
-- Whose lists: everybody's, or those of viewers whose number in the experiment is in a range. With the control's are the
-- lists of viewers who are in no experiment.
SET VARIABLE experiment = '';
SET VARIABLE from_share = 0.0::DOUBLE;
SET VARIABLE until_share = 1.0::DOUBLE;
SET VARIABLE is_control = 1.0::DOUBLE;

-- Neighbours.
SET VARIABLE max_seeds = 500;
SET VARIABLE seed_weight_newest = 0.2::DOUBLE;
SET VARIABLE seed_weight_oldest = 1.0::DOUBLE;
SET VARIABLE seed_weight_less = 1.0::DOUBLE;
SET VARIABLE seed_weight_more = 1.0::DOUBLE;
SET VARIABLE seed_weight_pick = 1.0::DOUBLE;
SET VARIABLE pick_fade_likes = 50;
SET VARIABLE likers_exponent = 0.5::DOUBLE;
SET VARIABLE degree_exponent = 1.0::DOUBLE;
SET VARIABLE degree_smoothing = 10.0::DOUBLE;
SET VARIABLE newcomer_hours = 72.0::DOUBLE;
SET VARIABLE overlap_exponent = 1.25::DOUBLE;
SET VARIABLE max_neighbours = 300;
SET VARIABLE max_seed_likers = 300;
SET VARIABLE viewer_active_days = 8.0::DOUBLE;

-- Candidates.
SET VARIABLE media = 0;
SET VARIABLE foreign_weight = 0.3::DOUBLE;
SET VARIABLE reading_share = 0.05::DOUBLE;
SET VARIABLE candidate_window_hours = 48.0::DOUBLE;
SET VARIABLE post_max_age_hours = 336.0::DOUBLE;
SET VARIABLE like_decay_hours = 0.4::DOUBLE;
SET VARIABLE like_decay_exponent = 1.0::DOUBLE;
SET VARIABLE left_out_weight = 1.0::DOUBLE;
SET VARIABLE crowd_weight = 1.0::DOUBLE;
SET VARIABLE crowd_decay_hours = 1.0::DOUBLE;
SET VARIABLE crowd_decay_exponent = 8.0::DOUBLE;
SET VARIABLE crowd_memory_hours = 96.0::DOUBLE;
SET VARIABLE forecast_weight = 1.0::DOUBLE;
SET VARIABLE score_exponent = 0.5::DOUBLE;
SET VARIABLE half_life_hours = 336.0::DOUBLE;
SET VARIABLE popularity_exponent = 0.0::DOUBLE;

-- Lists.
SET VARIABLE list_length = 300;
SET VARIABLE max_per_author = 3;
SET VARIABLE author_spacing = 3;
SET VARIABLE trial_share = 0.0::DOUBLE;
SET VARIABLE trial_max_likers = 5;
SET VARIABLE less_author_posts = 2;
SET VARIABLE fallback_min_posts = 20;
SET VARIABLE fallback_max_per_author = 3;
SET VARIABLE fallback_smoothing = 10.0::DOUBLE;
