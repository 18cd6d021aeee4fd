"""`foldlog asset`: what code defines to be there. Its commands: asset_list.py, asset_materialize.py."""

from __future__ import annotations

import click

from .asset_list import list_assets
from .asset_materialize import materialize
from .groups import ListOrMaterialize
from .options import examples


@click.group(
    "asset",
    cls=ListOrMaterialize,
    epilog=examples(
        "foldlog asset list -f assets.py",
        "foldlog asset materialize -m acme.pipelines --select 'raw/orders+'",
        "foldlog asset materialize --select daily --partition 2026-11-01..2026-11-20",
    ),
)
def command() -> None:
    """List the assets that code defines, or make them.

    What the code defines is here; what the log knows of assets is in `foldlog assets`. Without a command, `list`.

    The code is a module (-m), a file (-f), or what [tool.foldlog] in pyproject.toml names.
    """


command.add_command(list_assets)
command.add_command(materialize)
