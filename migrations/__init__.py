"""Schema migrations of the log on database servers, and moving a log between backends.

Format 1 is the first there is, so nothing migrates yet. Files and schemas of another format are refused when a log is
opened: by `check_file` in backends/sqlite/schema.py and by `check_format` in backends/sql/schema.py. View tables never
come here: they carry their version in their name and are folded anew (engine/views/).
"""
