"""YAML of strangers as plain values, for a look at what it may be."""

from dataclasses import dataclass

import yaml

from tasks.parsing.location_signs import NUMBER

_DEEPEST = 50  # levels; labels have a few


@dataclass
class _Open:
    """A list or mapping that is being read."""

    content: list[object] | dict[str, object]
    key: str | None = None  # whose value comes next

    def add(self, value: object) -> None:
        if isinstance(self.content, list):
            self.content.append(value)
        elif self.key is None:
            self.key = str(value)
        else:
            self.content[self.key] = value
            self.key = None


def plain_yaml(text: str) -> object:
    """Lists, dicts, texts and numbers of a YAML, as far as it can be read; it may be cut short.

    Read event by event: no date or tag is made into a value that cannot be, no alias is followed, however often and
    wherever it stands, and nesting has an end.
    """
    documents: list[object] = []
    opened = [_Open(documents)]
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.ScalarEvent):
                opened[-1].add(_value(event))
            elif isinstance(event, yaml.AliasEvent):
                opened[-1].add(None)
            elif isinstance(event, yaml.CollectionStartEvent):
                fresh: list[object] | dict[str, object] = {} if isinstance(event, yaml.MappingStartEvent) else []
                opened[-1].add(fresh)
                opened.append(_Open(fresh))
                if len(opened) > _DEEPEST:
                    break
            elif isinstance(event, yaml.CollectionEndEvent):
                opened.pop()
    except (yaml.YAMLError, ValueError):  # of letters that it may not hold
        pass
    return documents


def _value(scalar: yaml.ScalarEvent) -> object:
    return float(scalar.value) if not scalar.style and NUMBER.fullmatch(scalar.value) else scalar.value
