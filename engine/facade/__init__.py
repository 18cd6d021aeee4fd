"""The parts of `Instance`, a subject each: what one may report, ask, and do. engine/instance.py puts them together."""
