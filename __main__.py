"""`python -m foldlog`: the command line, as the script `foldlog`."""

import sys

from .engine.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
