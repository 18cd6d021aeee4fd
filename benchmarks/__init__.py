"""foldlog measured against the raw driver: the least work that stores the same bytes as durably.

`foldlog bench` runs it. Contestants take turns within each round, the figure is the median of the rounds' ratios, and
every workload checks its answer. What is measured, and the raw code beside it: workloads.py and raw.py.
"""
