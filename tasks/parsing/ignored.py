"""Label files that a person wants to be passed over, by `parse.ignore`."""

import logging
import math
import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path

import yaml

from tasks.contracts.errors import PipelineError

_SHOWN = 20  # patterns of files that no single one stands for

log = logging.getLogger(__name__)


class Ignored:
    """Says which files a person wants to be passed over, and remembers how many these are."""

    def __init__(self, raw: Path, patterns: Sequence[str]) -> None:
        """patterns: of paths below `raw`, or of names; behind a slash, of paths alone."""
        self._raw, self._found = raw, dict[str, set[Path]]()
        for pattern in patterns:
            self._found[pattern] = set()

    def __call__(self, path: Path) -> bool:
        """Whether a file is to be passed over."""
        below = path.relative_to(self._raw).as_posix()
        for pattern, found in self._found.items():
            if fnmatchcase(below, pattern.removeprefix("/")) or fnmatchcase(path.name, pattern):
                found.add(path)
                return True
        return False

    def tell(self) -> None:
        """Log which label files parse.ignore passed over."""
        for pattern, found in self._found.items():
            log.warning("parse.ignore %s: %d files are passed over", pattern, len(found))

    def told(self, fault: PipelineError, paths: Sequence[Path]) -> str:
        """A fault of files, and patterns to copy that pass over these alone; of many the first ones."""
        patterns = [self._pattern_of_all(paths)] if len(paths) > 1 else []
        if not any(patterns):
            patterns = list(map(self._pattern, paths[:_SHOWN]))
        written = yaml.safe_dump(
            patterns, default_style='"', default_flow_style=True, allow_unicode=True, width=math.inf
        )
        more = f" and {len(paths) - _SHOWN:,} more" if 1 < len(patterns) < len(paths) else ""
        return f"{fault}. To pass over what is there: parse.ignore: {written.strip()}{more}"

    def _pattern_of_all(self, paths: Sequence[Path]) -> str | None:
        """One pattern of just these files, by their common folder and their name or ending; None if there is none."""
        folder, first = common_folder(paths), paths[0]
        # * matches / too.
        ends = [f"*{escape(first.suffix)}"] if first.suffix else []
        if all(path.name == first.name and path.parent != folder for path in paths):
            ends.insert(0, f"*/{escape(first.name)}")
        for end in ends:
            found = {path for path in folder.rglob(end.removeprefix("*/")) if path.is_file() and not self(path)}
            if set(paths) == found:
                return f"{self._pattern(folder)}/{end}"
        return None

    def _pattern(self, path: Path) -> str:
        below = escape(path.relative_to(self._raw).as_posix())
        # One without a folder would be taken for a name that files of any folder have.
        return below if "/" in below else f"/{below}".removesuffix("/.")


def common_folder(paths: Sequence[Path]) -> Path:
    """The innermost folder that all of these files lie below."""
    return Path(os.path.commonpath([path.parent for path in paths]))
