"""The revisions, oldest first: the n-th makes the tables of format n. Each is frozen once a release has it."""
