"""Files that steps keep and hand to each other by handle: on this machine, or in any store of fsspec."""

from .file_manager import FileManager
from .handles import FileHandle, LocalFileHandle, UrlFileHandle
from .managers import FsspecFileManager, LocalFileManager

__all__ = ["FileHandle", "FileManager", "FsspecFileManager", "LocalFileHandle", "LocalFileManager", "UrlFileHandle"]
