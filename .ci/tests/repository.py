"""A copy of this repository: the files that git knows or would take.

Usage: python repository.py DIRECTORY, for one in which everything that is the user's has changed
"""

import shutil
import subprocess
import sys
from pathlib import Path

from customised import customise

ROOT = Path(__file__).parents[2]


def copy(directory: Path) -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).exists():  # or it is deleted, and not yet in the index
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)


if __name__ == "__main__":
    copy(Path(sys.argv[1]))
    customise(Path(sys.argv[1]))
