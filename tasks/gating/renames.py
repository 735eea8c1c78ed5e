"""Classes that came and classes that went, of which some may be the same under another name."""

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType

Rename = Mapping[str, str]  # parse.rename: new names by the labels that get them
NO_RENAME: Rename = MappingProxyType({})


def rename_hint(gone: Sequence[str], new: Sequence[str], rename: Rename = NO_RENAME) -> str:
    """How to give a new class the name of one that is gone; empty where none resembles another.

    rename: parse.rename as it stands, which may itself be why they are called otherwise.

    One that went and one that came may be the same however they are called.
    """
    own = {old: label for old, label in rename.items() if old in gone and label in new}
    gone, new = [old for old in gone if old not in own], [label for label in new if label not in own.values()]
    hints = [f"parse.rename turns {', '.join(f'{old!r} into {label!r}' for old, label in own.items())}"] if own else []
    renamed = {new[0]: gone[0]} if len(gone) == len(new) == 1 else {}
    free = {label.casefold(): label for label in new}
    for old in gone if not renamed else ():
        for near in get_close_matches(old.casefold(), free, n=1):
            renamed[free.pop(near)] = old
    names = ", ".join(f"{json.dumps(label)}: {json.dumps(old)}" for label, old in renamed.items())
    if renamed:
        hints.append(f"If that is another name for the same, set parse.rename: {{{names}}}")
    return ". ".join(hints)
