"""A virtual environment of the peers' own: with them there is the driver that they name, and nothing of the project's."""

import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENT = HERE / ".venv"


def enter(arguments: list[str]) -> None:
    """Go on in the environment; it is made when it is not there. Does not return."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        print(f"installing the peers into {ENVIRONMENT.relative_to(ROOT)} (once)", file=sys.stderr)
        venv.create(ENVIRONMENT, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, "-e", f"{ROOT}[cassandra,node,uvloop]"], check=True, stdout=sys.stderr)
        for line in (HERE / "requirements.txt").read_text(encoding="utf-8").splitlines():
            # One by one: a peer that does not install is named by the comparison, the others take part.
            if line and not line.startswith("#"):
                subprocess.run([*install, line], check=False, stdout=sys.stderr)
    os.execv(python, [str(python), "-m", "benchmarks.compare", "--here", *arguments])
