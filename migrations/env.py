"""What alembic runs: the revisions in versions/, on the connection that foldlog hands over.

alembic loads this file by its path, outside of any package: its imports are absolute.
"""

from __future__ import annotations

from alembic import context

from foldlog.engine.errors import UsageError
from foldlog.migrations.work import Work


def main() -> None:
    work: Work | None = context.config.attributes.get("work")
    if work is None:
        error = UsageError("alembic was started without a log to work on")
        error.remedy = "Use `foldlog migrate --url ...`, which calls it."
        raise error
    # Each step commits by itself and can be repeated; a transaction around a whole revision would hold its locks until
    # the last row is rewritten, and MySQL would not keep it anyway.
    context.configure(connection=work.connection, version_table_schema=work.place.schema, transactional_ddl=False)
    with context.begin_transaction():
        context.run_migrations()


main()
