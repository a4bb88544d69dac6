"""`python -m cassorm` is the `cassorm` command."""

import sys

from cassorm.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
