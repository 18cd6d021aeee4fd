"""IO managers: where the values that steps return are kept, and come from."""

from .contexts import InputContext, OutputContext
from .files import FilesIOManager
from .io_manager import IOManager
from .memory import InMemoryIOManager

__all__ = ["FilesIOManager", "IOManager", "InMemoryIOManager", "InputContext", "OutputContext"]
