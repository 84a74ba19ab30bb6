"""What viewers do with the feed: remembered in memory at once, written to activity.sqlite soon after."""
