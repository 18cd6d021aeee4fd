"""The engine: events (events/), the log (log/), its views (views/), and the instance that puts them together.

Also here: errors.py (what can go wrong, by remedy), open.py (a log by URL), reporting.py (what a program says of its
runs), cli/ (the command line). Who may import whom: tests/test_layers.py.
"""
