"""What users declare: ops, graphs, jobs, assets, resources. Frozen, and checked once, when they are made.

Promises: a definition that was made can be planned; what is wrong with one is said where it is written, with its name.
Not here: running any of it (engine/execution), partitions of assets (partitions/).
"""
