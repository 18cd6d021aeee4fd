"""Classes that the configuration file names: how one is found, checked and made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar, Self, TypeVar

from ..errors import UsageError
from ..secrecy import without
from .checking import Context, check_section
from .fields import Field
from .place import Place, meant
from .values import masked, resolve, secrets_in

P = TypeVar("P")


class ConfigurableClass:
    """What the configuration file may name: a class that says which keys it takes, and makes itself of them.

    Making one is cheap and touches nothing outside: no connection, no file. It happens in every process of the
    deployment, when the part is first used.
    """

    inst_data: ConfigurableClassData | None = None  #: where it came from; None if a program made it

    @classmethod
    def config_schema(cls) -> Mapping[str, Field]:
        """The keys under `config`, each with what it takes. None by default."""
        return {}

    @classmethod
    def from_config(cls, inst_data: ConfigurableClassData, config: Mapping[str, Any]) -> Self:
        """One made of `config`: every key of the schema, checked, `{env: NAME}` replaced, defaults filled in.

        By default the keys are the arguments of the class. May raise ValueError for keys that do not go together.
        """
        return cls(**config)


@dataclass(frozen=True)
class ConfigurableClassData:
    """A class by name, and its configuration as it was written: `{env: NAME}` is not replaced. Pickles, and is JSON."""

    module_name: str
    class_name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    place: Place = field(default_factory=Place, repr=False, compare=False)

    KEYS: ClassVar = ("module", "class", "config")

    def to_dict(self) -> dict[str, Any]:
        """As the configuration file has it."""
        return {"module": self.module_name, "class": self.class_name, "config": dict(self.config)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], *, place: Place | None = None) -> Self:
        """The inverse of `to_dict`. Raises UsageError for another form."""
        place = place or Place()
        if set(document) - set(cls.KEYS) or not all(isinstance(document.get(k), str) for k in ("module", "class")):
            raise place.fault("a class is written as {module: ..., class: ..., config: {...}}")
        return cls(document["module"], document["class"], dict(document.get("config") or {}), place)

    def load(self, kind: type[P], *, role: str = "") -> type[P]:
        """The class. Raises UsageError if it cannot be imported, or is not a `kind`; `role`: what it is wanted for."""
        try:
            module = import_module(self.module_name)
        except ModuleNotFoundError as error:
            raise self._not_found(error) from self._cause(error)
        except Exception as error:  # whatever the module does while it loads
            raise self.place.at("module").fault(
                f"importing {self.module_name} raised {type(error).__name__}: {error}",
                "Correct the module; `python -c 'import ...'` in the same environment shows the whole error.",
            ) from self._cause(error)
        found = getattr(module, self.class_name, None)
        if found is None:
            classes = [name for name, value in vars(module).items() if isinstance(value, type)]
            raise self.place.at("class").fault(
                f"the module {self.module_name} has no class {self.class_name!r}{meant(self.class_name, classes)}"
            )
        if not (isinstance(found, type) and issubclass(found, kind)):
            wanted = f"{kind.__module__}.{kind.__qualname__}"
            raise self.place.at("class").fault(
                f"{self.module_name}.{self.class_name} is no {kind.__name__}",
                f"Name a class that derives from {wanted}{f', as {role} needs' if role else ''}.",
            )
        return found

    @property
    def shown(self) -> str:
        """`module.Class`, for people: what came from the environment is left out."""
        return without(f"{self.module_name}.{self.class_name}", self.place.hidden)

    def _cause(self, error: Exception) -> Exception | None:
        return None if self.place.hidden else error  # a traceback would print the name that is hidden

    def _not_found(self, error: ModuleNotFoundError) -> UsageError:
        where = self.place.at("module")
        missing = error.name or ""
        if self.module_name == missing or self.module_name.startswith(f"{missing}."):
            remedy = f"Install what has {missing} into each environment that opens the instance, or correct the name."
            return where.fault(f"there is no module {missing!r}", remedy)
        return where.fault(
            f"the module {self.module_name} was found, but what it imports was not: {missing!r}",
            f"Install {missing} into each environment that opens the instance.",
        )

    def rehydrate(self, kind: type[P], *, context: Context | None = None, role: str = "") -> P:
        """The object. Raises UsageError, with file, line and key, for what is wrong with module, class or config."""
        made = self.load(kind, role=role)
        if not issubclass(made, ConfigurableClass):
            raise self.place.at("class").fault(f"{self.class_name} has no config_schema and from_config")
        place = self.place.at("config")
        context = context or Context()
        given = resolve(self.config, place, context.lookup)
        config = check_section(made.config_schema(), given, place, context)
        try:
            part = made.from_config(self, config)
        except Exception as error:  # of a third party's code, too
            raise self._refused(error, place, secrets_in(given)) from None
        part.inst_data = self
        return part

    def _refused(self, error: Exception, place: Place, secrets: list[str]) -> UsageError:
        """The error of a constructor, told as one of the file."""
        text = without(str(error), secrets)
        # Without its cause: a traceback would print the message as it was, and a secret with it.
        if isinstance(error, UsageError):
            return place.fault(masked(text), error.remedy if error.remedy != UsageError.remedy else None)
        return place.fault(f"{self.class_name} refuses it: {type(error).__name__}: {masked(text)}")

    def __repr__(self) -> str:
        return f"<{self.shown} {masked(dict(self.config))}>"
