r"""How labels stand in names of metrics and in rules: in double quotes, written as JSON writes text.

That is `"crack"`; of a label that holds quotes, backslashes or line breaks `"5\" pipe"`, `"a\\b"`, `"two\nlines"`. All
else, spaces among it, stands for itself.
"""

import json
import re

QUOTED = r'"(?:[^"\\]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})+"'  # without groups, to be part of other patterns
_PLAIN = re.compile(r"[^\s\"'\\,]+(?: [^\s\"'\\,]+)*")
_PLAIN_PART = re.compile(r"[^\s\"\\<>]+(?: [^\s\"\\<>]+)*")
_MISREAD = re.compile(
    r"\b(?:ap50|ap50_95|precision|recall|f1) of (?P<label>.+?)(?: where .+| ?[<>]=? ?[\d.]+.*| not worse than .+|)",
    re.DOTALL,
)


def quoted(label: str) -> str:
    """The label in quotes."""
    return json.dumps(label, ensure_ascii=False)


def unquoted(text: str) -> str:
    """The label out of what QUOTED matches."""
    label: str = json.loads(text, strict=False)
    return label


def written(label: str) -> str:
    """The label in a list for people: in quotes where it could be misread."""
    return label if _PLAIN.fullmatch(label) else quoted(label)


def written_part(by: str, part: str) -> str:
    """`size = small`: an attribute of objects and one of its values, in quotes where they could be misread."""
    by = by if _PLAIN_PART.fullmatch(by) and "=" not in by else quoted(by)
    return f"{by} = {part if _PLAIN_PART.fullmatch(part) else quoted(part)}"


def spaced(text: str) -> str:
    """The text with single spaces, but for what stands in quotes."""
    parts = re.split(f"({QUOTED})", text)
    return "".join(part if place % 2 else re.sub(r"\s+", " ", part) for place, part in enumerate(parts)).strip()


def quoting_hint(text: str) -> str | None:
    """How to write the label in a metric or rule that cannot be read; None where it has none, or it is not to blame."""
    found = _MISREAD.fullmatch(text.removeprefix("drop of "))
    if found is None or found["label"] == "each class" or re.fullmatch(QUOTED, found["label"]):
        return None
    label = found["label"]
    for quote in ('"', "'"):
        # Of both ends, or none: a mark within a label is a part of it.
        if len(label) > 1 and label[0] == label[-1] == quote:
            label = label[1:-1]
            break
    else:
        label = label.removeprefix('"').removesuffix('"')
    return f"write its label as {quoted(label)}" if label else None
