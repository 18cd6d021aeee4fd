"""The log: shards, the timeline, and how readers and writers meet on them. Knows no SQL and no run."""
