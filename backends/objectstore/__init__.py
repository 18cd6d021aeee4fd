"""The log on object storage."""
