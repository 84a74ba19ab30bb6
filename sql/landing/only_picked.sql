-- Question: is nothing public known of an actor who has a number because they picked posts?
-- Reads: picked_numbers, actors, like_words, posts, labels, self_labels
-- Writes: none
-- Grain: one row, or none when something is; reads all words about likes
-- Parameters: :actor_id
-- Units: none
SELECT actor_id
FROM picked_numbers AS p
WHERE actor_id = :actor_id
  AND NOT EXISTS (SELECT 1 FROM actors AS a WHERE a.actor_id = p.actor_id AND a.status_us > 0)
  AND NOT EXISTS (SELECT 1 FROM posts AS t WHERE t.author_id = p.actor_id)
  AND NOT EXISTS (SELECT 1 FROM self_labels AS s WHERE s.actor_id = p.actor_id)
  AND NOT EXISTS (SELECT 1 FROM labels AS l WHERE l.actor_id = p.actor_id)
  AND NOT EXISTS (SELECT 1 FROM like_words AS w WHERE w.liker_id = p.actor_id OR w.author_id = p.actor_id)
