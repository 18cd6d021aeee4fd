"""Secrets: what `{env: NAME}` stands for when the environment has no such variable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from ..errors import UsageError
from .configurable import ConfigurableClass
from .fields import Field, folder


class SecretsLoader(ConfigurableClass, ABC):
    """Gives named secrets. Asked once in a process, when the environment lacks a variable."""

    @abstractmethod
    def load(self) -> Mapping[str, str]:
        """All secrets by name. Raises UsageError or UnavailableError if they cannot be had."""


class EnvFileSecretsLoader(SecretsLoader):
    """A file of `NAME=value` lines. No file is no secrets.

    Blank lines, `# comments` and `export ` in front are allowed; a value may stand in single or double quotes, which
    are taken off. Nothing in a value is replaced.
    """

    def __init__(self, path: str | Path = ".env") -> None:
        self.path = Path(path)

    @classmethod
    def config_schema(cls) -> Mapping[str, Field]:
        return {"path": folder(default=".env")}

    def load(self) -> Mapping[str, str]:
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the secrets file {self.path} cannot be read: {type(error).__name__}") from None
        found: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            if (entry := line.strip().removeprefix("export ")) and not entry.startswith("#"):
                name, value = self._entry(entry, number)
                found[name] = value
        return found

    def _entry(self, entry: str, number: int) -> tuple[str, str]:
        name, equals, value = (part.strip() for part in entry.partition("="))
        if not equals or not name.isidentifier():  # the line is not shown: it may be a secret
            raise UsageError(f"{self.path}:{number}: a line of a secrets file is NAME=value, or # and a comment")
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        return name, value
