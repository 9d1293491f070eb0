"""`python -m hpo_worker` is `hpo-worker`."""

import sys

from hpo_worker.cli import main

if __name__ == "__main__":
    sys.exit(main())
