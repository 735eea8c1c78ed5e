"""Text files among labels, as exporters and people's editors leave them."""

from pathlib import Path

from tasks.contracts.errors import PipelineError


def read_text(path: Path) -> str:
    """The text without its byte order mark. Raises PipelineError if it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PipelineError(
            "text is not UTF-8", f"{path}: {error.reason} at byte {error.start:,}", "Save it as UTF-8"
        ) from error
