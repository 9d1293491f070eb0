"""`python -m hpo.cli` is the `hpo` command."""

import sys

from hpo.cli import main

if __name__ == "__main__":
    sys.exit(main())
