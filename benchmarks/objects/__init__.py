"""The log on object storage: how long it waits, what it asks of the store, and what S3 would take for that.

`foldlog bench objects` runs it on a store in memory that takes as long to answer as one in the same region does, on
files, and, with `--url s3://BUCKET/PREFIX`, on a bucket. What is measured: workloads.py. The raw side: raw.py;
`--raw-code` prints it.
"""
