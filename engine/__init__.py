"""The engine: events, the log, its views, and the instance that puts them together."""
