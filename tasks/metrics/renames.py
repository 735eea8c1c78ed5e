"""Classes that came and classes that went, of which some may be the same under another name."""

import json
from collections.abc import Sequence
from difflib import get_close_matches


def rename_hint(gone: Sequence[str], new: Sequence[str]) -> str:
    """How to give a new class the name of one that is gone; empty where none resembles another.

    One that went and one that came may be the same however they are called.
    """
    renamed = {new[0]: gone[0]} if len(gone) == len(new) == 1 else {}
    free = {label.casefold(): label for label in new}
    for old in gone if not renamed else ():
        for near in get_close_matches(old.casefold(), free, n=1):
            renamed[free.pop(near)] = old
    if not renamed:
        return ""
    names = ", ".join(f"{json.dumps(label)}: {json.dumps(old)}" for label, old in renamed.items())
    return f"If that is another name for the same, set parse.rename: {{{names}}}"
