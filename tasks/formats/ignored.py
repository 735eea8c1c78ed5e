"""Label files that a person wants to be passed over, by `parse.ignore`."""

import json
import logging
from collections.abc import Sequence
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path

_SHOWN = 20  # patterns of files that no single one stands for

log = logging.getLogger(__name__)


class Ignored:
    """Says which files a person wants to be passed over, and remembers how many these are."""

    def __init__(self, raw: Path, patterns: Sequence[str]) -> None:
        """patterns: of paths below `raw`, or of names."""
        self._raw, self._found = raw, dict[str, set[Path]]()
        for pattern in patterns:
            self._found[pattern] = set()

    def __call__(self, path: Path) -> bool:
        """Whether a file is to be passed over."""
        for pattern, found in self._found.items():
            if fnmatchcase(path.relative_to(self._raw).as_posix(), pattern) or fnmatchcase(path.name, pattern):
                found.add(path)
                return True
        return False

    def tell(self) -> None:
        """Log what was passed over."""
        for pattern, found in self._found.items():
            log.warning("parse.ignore %s: %d files are passed over", pattern, len(found))

    def way_out(self, paths: Sequence[Path]) -> str:
        """The pattern to copy that passes over these files of one folder, and no others; of many the first ones."""
        folder, suffix = paths[0].parent, paths[0].suffix
        patterns = [escape(path.relative_to(self._raw).as_posix()) for path in paths[:_SHOWN]]
        # * matches / too.
        if len(paths) > 1 and set(paths) == {path for path in folder.rglob("*" + escape(suffix)) if path.is_file()}:
            inside = escape(folder.relative_to(self._raw).as_posix())
            patterns = [f"{inside}/*{suffix}".removeprefix("./")]
        return f"To pass over what is there: parse.ignore: {json.dumps(patterns, ensure_ascii=False)}"
