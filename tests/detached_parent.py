"""A process that has imported DVC, and forks another for each command of `detached.py`: as if started, but sooner.

Each line that it reads holds the arguments, the environment and the files for output and errors; the exit code answers.
"""

import json
import os
import sys
from importlib import import_module
from pathlib import Path

# What the program and DVC import only when they come to it.
IMPORTED_LATER = ("dulwich.client", "dulwich.repo", "dvc.data_cloud", "dvc.scm", "networkx", "pydantic", "pyparsing")


def main() -> None:
    """Serve until the input ends; a forked process leaves by the exit of the program."""
    program = Path(sys.argv[1])
    sys.path.insert(0, str(program.parent))
    detached = import_module(program.stem)
    for name in IMPORTED_LATER:
        import_module(name)
    for line in sys.stdin:
        arguments, environment, files = json.loads(line)
        forked = os.fork()
        if not forked:
            _become(program, arguments, environment, files)
            detached.main()
            sys.exit()
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1])}\n")
        sys.stdout.flush()


def _become(program: Path, arguments: list[str], environment: dict[str, str], files: list[str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    sys.argv = [str(program), *arguments]


if __name__ == "__main__":
    main()
