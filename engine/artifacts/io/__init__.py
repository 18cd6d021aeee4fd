"""IO managers: where the values that steps return are kept, and come from."""

from .contexts import InputContext, OutputContext
from .files import FilesIOManager
from .io_manager import IOManager
from .loading import load_each
from .memory import InMemoryIOManager
from .value_id import ValueId

__all__ = [
    "FilesIOManager",
    "IOManager",
    "InMemoryIOManager",
    "InputContext",
    "OutputContext",
    "ValueId",
    "load_each",
]
