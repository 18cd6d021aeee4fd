"""Examples on real data: a weather pipeline that reports to a log, and the tour that `foldlog demo` gives."""
