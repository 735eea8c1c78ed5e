"""The one error that users see."""


class PipelineError(Exception):
    """A fault that the user can mend: what is wrong, where it stands, how to mend it.

    The stage edge prints it as one message without a traceback and exits with code 2.
    """

    def __init__(self, what: str, where: str, mend: str) -> None:
        super().__init__(what, where, mend)
        self.what = what
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        if "\n" in self.where:
            # A list stands on lines of its own.
            gap = "" if self.where.startswith("\n") else " "
            return f"{self.what}:{gap}{self.where.rstrip()}\n{self.mend}"
        return f"{self.what}: {self.where}. {self.mend}"


def first_of(faults: list[str], shown: int = 20) -> str:
    """All faults of a data set in one text: the first `shown`, and how many more there are."""
    lines = [f"  - {fault}" for fault in faults[:shown]]
    if len(faults) > shown:
        lines.append(f"  ... and {len(faults) - shown:,} more")
    return "\n".join(lines)
