"""Writes the schema of recipes and the reference: `python -m tests.docs.reference`."""

from tests.docs.reference.pages import FOLDER, SCHEMA, pages
from workflows.catalog import Kinds
from workflows.language.schema import as_json, recipe_schema

SCHEMA.write_text(as_json(recipe_schema(Kinds(plugins=False))))
for name, text in pages().items():
    (FOLDER / name).write_text(text)
    print(FOLDER / name)
