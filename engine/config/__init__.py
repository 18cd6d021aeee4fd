"""foldlog.yaml: one file that says where a deployment's log is and which parts it works with.

What authors of parts import from here: `ConfigurableClass`, the fields of a schema, `LogStorage`, `SecretsLoader`.
The whole file by example: docs/config.md.
"""

from .configurable import ConfigurableClass, ConfigurableClassData
from .fields import Field, either, flag, folder, integer, list_of, map_of, number, one_of, plain, section, text
from .secrets import EnvFileSecretsLoader, SecretsLoader
from .storage import LogStorage

__all__ = [
    "ConfigurableClass",
    "ConfigurableClassData",
    "EnvFileSecretsLoader",
    "Field",
    "LogStorage",
    "SecretsLoader",
    "either",
    "flag",
    "folder",
    "integer",
    "list_of",
    "map_of",
    "number",
    "one_of",
    "plain",
    "section",
    "text",
]
