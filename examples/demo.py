"""The tour that `foldlog demo` gives: run the pipeline, look at what the log knows, lose the views, prove them.

Everything shown is read from the log's views, and everything is computed from the file of real measurements here.
Not here: the pipeline (pipeline.py), the tables (engine/cli).
"""

from __future__ import annotations
