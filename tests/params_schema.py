"""Write dags/params_schema.json, a JSON Schema of params.yaml made from the params classes.

    python -m tests.params_schema

By it the form of a training run shows text and bounds, as the DAGs import nothing of the stages; and editors help with
params.yaml.
"""

import json
from textwrap import indent
from typing import Any

from pydantic import create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from tasks.command.params_classes import params_classes
from tasks.contracts.params import Params, Seed
from tasks.contracts.sections import SHARED
from tests.fixtures.repository import REPOSITORY

FILE = REPOSITORY / "dags" / "params_schema.json"


class _Plain(GenerateJsonSchema):
    """Without titles, which say names again; and `type: [string, null]`, as Airflow's page draws no `anyOf`."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        inner = self.generate_inner(schema["schema"])
        plain = "enum" not in inner and isinstance(inner.get("type"), str)
        return inner | {"type": [inner["type"], "null"]} if plain else super().nullable_schema(schema)


def schema_text() -> str:
    """What the file has to hold."""
    sections: dict[str, Any] = {name: (model, ...) for name, model in {**SHARED, **params_classes()}.items()}
    whole = create_model("Sections", __base__=Params, __doc__="All of params.yaml.", seed=(Seed, ...), **sections)
    return _spread(whole.model_json_schema(schema_generator=_Plain), levels=4) + "\n"


def _spread(value: object, levels: int) -> str:
    """JSON with a line for each key, so many levels down: those of $defs, a section, its properties."""
    if not levels or not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    lines = [f"{json.dumps(key)}: {_spread(item, levels - 1)}" for key, item in value.items()]
    return "{\n" + indent(",\n".join(lines), " ") + "\n}"


if __name__ == "__main__":
    FILE.write_text(schema_text(), encoding="utf-8")
