"""A log in the tables of a SQL server: all that PostgreSQL and MySQL share, which is everything but a `Dialect`.

Tables and bytes: docs/format.md. A dialect (dialect.py says what one is) knows how to connect, how its server spells a
few statements, and what its errors mean; no other module asks which server it is.
"""
