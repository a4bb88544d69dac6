"""`python -m benchmarks.compare`: compares in an environment of the peers' own, or with `--here` in this one."""

import sys

from benchmarks.compare import environment

HERE = "--here"

if HERE in sys.argv:
    # Not before: elsewhere cassorm may not be installed.
    from benchmarks.compare.command import main

    sys.exit(main([argument for argument in sys.argv[1:] if argument != HERE]))
environment.enter(sys.argv[1:])
