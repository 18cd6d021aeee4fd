"""${message}

Revision ${up_revision}, behind ${down_revision}. Each step asks first whether it is done: a crash may come after any
statement, and the same command must then go on.
"""

from alembic import context

from foldlog.migrations.work import Work

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    work: Work = context.config.attributes["work"]
    raise NotImplementedError(work)
