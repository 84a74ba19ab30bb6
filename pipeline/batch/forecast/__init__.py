"""What will be liked in the next hours, learned from the store's own past: a number a post, no viewer in it."""
