"""Inputs and outputs: what is declared of them, and what user code yields for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import GenericAlias
from typing import Any, Final

from ..errors import fault
from .names import check_name, check_text

MAPPING_KEY = re.compile(r"[A-Za-z0-9_.=+@-]{1,100}")  #: it stands in brackets in step keys, and in names of files
RESULT = "result"  #: the name of an output that was given none
IO_MANAGER = "io_manager"
KEY_REMEDY = "Write the key of a resource."


class _Marker:
    """A value that is no value, told apart by its identity; the same one after pickling."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name

    def __reduce__(self) -> str:
        return self._name


NO_DEFAULT: Final = _Marker("NO_DEFAULT")  #: the input has no default
UNSTATED: Final = _Marker("UNSTATED")  #: no type is stated, here or in the function


class Nothing:
    """The type of an input or output that hands on no value: only that the step before is done."""


def hands_on_nothing(annotation: Any) -> bool:
    """Whether values of the type are never kept: there is nothing in them."""
    return annotation is Nothing or annotation is None or annotation is type(None)


@dataclass(frozen=True)
class In:
    """An input of an op. What it leaves open is taken from the function's parameter."""

    annotation: Any = UNSTATED  #: its type; `Nothing`: the step waits for the one before, and gets no value
    default: Any = field(default=NO_DEFAULT, kw_only=True)
    description: str | None = field(default=None, kw_only=True)
    metadata: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    #: the resource that loads it, if not its output's
    input_manager_key: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.input_manager_key is not None:
            check_name("In: input_manager_key", self.input_manager_key, KEY_REMEDY)
        check_text("In", "description", self.description)
        object.__setattr__(self, "metadata", for_manager("In", self.metadata))

    @property
    def has_default(self) -> bool:
        return self.default is not NO_DEFAULT

    @property
    def is_nothing(self) -> bool:
        return self.annotation is Nothing


@dataclass(frozen=True)
class Out:
    """An output of an op."""

    annotation: Any = UNSTATED
    description: str | None = field(default=None, kw_only=True)
    metadata: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    io_manager_key: str = field(default=IO_MANAGER, kw_only=True)  #: the resource that keeps it
    is_required: bool = field(default=True, kw_only=True)  #: False: it may stay away, and what needs it is skipped
    code_version: str | None = field(default=None, kw_only=True)

    is_dynamic = False

    def __post_init__(self) -> None:
        check_name("Out: io_manager_key", self.io_manager_key, KEY_REMEDY)
        check_text("Out", "description", self.description)
        check_text("Out", "code_version", self.code_version)
        object.__setattr__(self, "metadata", for_manager("Out", self.metadata))

    @property
    def is_nothing(self) -> bool:
        return self.annotation is Nothing

    @property
    def is_kept(self) -> bool:
        """Whether an IO manager keeps its values."""
        return not hands_on_nothing(self.annotation)

    def with_annotation(self, annotation: Any) -> Out:
        """The same, with this type if it states none."""
        return replace(self, annotation=annotation) if self.annotation is UNSTATED else self


def for_manager(what: str, metadata: Any) -> dict[str, Any]:
    """What is told to an IO manager: any values, as they are, for none of it is stored."""
    if not isinstance(metadata, Mapping):
        raise fault(f"{what}: metadata={metadata!r:.80} is no mapping", "Write metadata={'table': 'orders'}.")
    return dict(metadata)


class DynamicOut(Out):
    """An output of which there are as many as the op yields, each under a key: `DynamicOutput(value, mapping_key)`.

    In a graph, `.map(op)` makes a step for each, `.collect()` gives the list of all.
    """

    is_dynamic = True


class Output:
    """A value for an output, with metadata: `return Output(rows, metadata={"rows": 12})`."""

    __slots__ = ("data_version", "metadata", "output_name", "tags", "value")
    __class_getitem__: Any = classmethod(GenericAlias)  #: `-> Output[int]`: the value is an int

    def __init__(
        self,
        value: Any = None,
        output_name: str = RESULT,
        *,
        metadata: Mapping[str, Any] | None = None,
        data_version: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self.value = value
        self.output_name = output_name
        self.metadata = dict(metadata or {})
        self.data_version = data_version
        self.tags = dict(tags or {})

    def __repr__(self) -> str:
        return f"<Output {self.output_name}: {self.value!r:.60}>"


class DynamicOutput(Output):
    """One of the values of a dynamic output, under its key. Keys are letters, digits and `_.=+@-`, up to 100."""

    __slots__ = ("mapping_key",)

    def __init__(
        self,
        value: Any,
        mapping_key: str,
        output_name: str = RESULT,
        *,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(value, output_name, metadata=metadata)
        if not isinstance(mapping_key, str) or not MAPPING_KEY.fullmatch(mapping_key):
            raise fault(
                f"DynamicOutput: mapping_key={mapping_key!r:.120} is no key",
                "Write 1 to 100 letters, digits or _.=+@- ; it names the step, as work[key].",
            )
        self.mapping_key = mapping_key


@dataclass(frozen=True, kw_only=True)
class ExpectationResult:
    """Yield it to say whether an expectation holds. It fails nothing by itself."""

    success: bool
    label: str | None = None
    description: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
