"""params.yaml, read and written with its comments."""

from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML

yaml = YAML()
yaml.preserve_quotes = True
yaml.width = 200
yaml.indent(mapping=2, sequence=4, offset=2)
# Written out, as people write it; otherwise ruamel leaves the place empty.
yaml.representer.add_representer(
    type(None), lambda writer, _: writer.represent_scalar("tag:yaml.org,2002:null", "null")
)


def write_params(file: Path, values: Mapping[str, object]) -> None:
    """Set values by dotted name and leave the rest of the file, comments too, as it is."""
    document = yaml.load(file)
    for dotted, value in values.items():
        *sections, name = dotted.split(".")
        section = document
        for part in sections:
            section = section.get(part) if isinstance(section, Mapping) else None
        if section is None:
            raise ValueError(f"{dotted}: params.yaml has no section {'.'.join(sections)}")
        section[name] = value
    partial = file.with_name(f".{file.name}.partial")
    yaml.dump(document, partial)
    partial.replace(file)
