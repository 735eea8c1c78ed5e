"""The one error that users see."""

import re

# In a URL: behind the user's name, or as a value of the query.
PASSWORD = re.compile(r"(?<=://)([^:@/\s]*):\S*@|(?<=password=)[^&\s]*")


class PipelineError(Exception):
    """A fault that the user can fix: what is wrong, where it stands, how to fix it.

    The stage edge prints it as one message without a traceback and exits with code 2. Passwords in URLs are masked.
    """

    def __init__(self, what: str, where: str, hint: str) -> None:
        self.what, self.where, self.hint = map(without_passwords, (what, where, hint))
        super().__init__(self.what, self.where, self.hint)

    @property
    def faults(self) -> list[str]:
        """The faults that it lists, a line each, or the one that it is about."""
        listed = [line.strip().removeprefix("- ") for line in self.where.splitlines() if line.startswith("  ")]
        return listed or [f"{self.what}: {self.where}. {self.hint}"]

    def __str__(self) -> str:
        if "\n" in self.where:
            # A list stands on lines of its own.
            gap = "" if self.where.startswith("\n") else " "
            return f"{self.what}:{gap}{self.where.rstrip()}\n{self.hint}"
        return f"{self.what}: {self.where}. {self.hint}"


def without_passwords(text: str) -> str:
    """The text with `***` for each password in a URL."""
    return PASSWORD.sub(lambda found: "***" if found[1] is None else f"{found[1]}:***@", text)


def first_of(faults: list[str], shown: int = 20) -> str:
    """All faults of a data set in one text: the first `shown`, and how many more there are."""
    lines = [f"  - {fault}" for fault in faults[:shown]]
    if len(faults) > shown:
        lines.append(f"  ... and {len(faults) - shown:,} more")
    return "\n".join(lines)
