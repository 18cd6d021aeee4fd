"""What users declare: frozen, free of a log, of views and of execution.

partitions/: the keys that an asset or a job is cut into, and which keys of one need which of another.
"""
