"""`python -m clustermass` is the command `clustermass`."""

import sys

from clustermass.cli import main

if __name__ == "__main__":
    sys.exit(main())
