"""The command line: `foldlog COMMAND`. One module a command, each a few lines over the library."""
