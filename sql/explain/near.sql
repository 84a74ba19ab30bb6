-- Question: what is known of the posts and people that like records name?
-- Reads: records, all_posts, all_actors, known_claimed_likes, all_withheld, found_neighbours,
--   stored_lists, stored_list_posts, answered_posts
-- Writes: near_posts, near_people, near_actors, near_claimed_likes, near_withheld
-- Grain: as in sql/batch/inputs.sql; near_people has one row per actor
-- Parameters: viewer_id
-- Units: as in sql/batch/inputs.sql
-- Columns: author_id, rkey, cause, level
CREATE OR REPLACE TABLE near_posts AS
SELECT p.*
FROM all_posts AS p
SEMI JOIN records AS r ON r.author_id = p.author_id AND r.post_rkey = p.rkey;

CREATE OR REPLACE TABLE near_people AS
SELECT liker_id AS actor_id FROM records
UNION
SELECT author_id FROM records
UNION
SELECT neighbour_id FROM found_neighbours
UNION
SELECT author_id FROM answered_posts
UNION
SELECT p.author_id
FROM stored_lists AS l
JOIN stored_list_posts AS p ON p.post_no = l.post_no AND p.generation = l.generation
WHERE l.viewer_id = getvariable('viewer_id')
UNION
SELECT getvariable('viewer_id')::INTEGER;

CREATE OR REPLACE TABLE near_actors AS
SELECT a.* FROM all_actors AS a SEMI JOIN near_people AS p ON p.actor_id = a.actor_id;

CREATE OR REPLACE TABLE near_claimed_likes AS
SELECT c.* FROM known_claimed_likes AS c SEMI JOIN near_people AS p ON p.actor_id = c.liker_id;

CREATE OR REPLACE TABLE near_withheld AS
SELECT w.* FROM all_withheld AS w SEMI JOIN near_people AS p ON p.actor_id = w.author_id;
