"""Views: tables folded from the log, and the questions one may ask them. Disposable: the log makes them again.

    table.py       a table as a fold sees it: a row class, a key, indexes; and how a row is hashed
    projection.py  a view: its tables, the events it takes in, its fold
    rows.py        what a fold reads and writes: rows through to the database, changes gathered, digests kept
    store.py       the database: connections, transactions, checkpoints, making the tables
    projector.py   catch up on read; rebuild.py, verify.py
    runs.py steps.py assets.py checks.py    one module a view: tables, fold, queries
    views.py       all of it behind one object, `Instance.views`

To add a view: a module like runs.py, and its projection in `registry.py`. docs/views.md has the rules of a fold.
Not here: what orders the events (engine/log), who asks (engine/instance.py, engine/cli).
"""
