"""The commands about recipes themselves: check one, and the schema by which editors complete them."""

from __future__ import annotations

import typer

from workflows.commands.options import Changes, Recipe


def check(recipe: Recipe, changes: Changes = None) -> None:
    """Check a recipe and list its stages and what it takes from the environment, without running anything."""
    from workflows.language.load import load

    workflow = load(recipe, changes or ())
    for name, taken in workflow.environment.items():
        typer.echo(f"environment: {name}={taken.value}{' (default)' if taken.is_default else ''}")
    for stage in workflow.ordered():
        inputs = f" from {', '.join(stage.inputs.values())}" if stage.inputs else ""
        typer.echo(f"{stage.name}: {stage.kind.name}{inputs}")


def schema() -> None:
    """Print the JSON Schema of recipes, with the stages of all installed packages, for editors to complete and check
    by. The first line of a recipe names it: # yaml-language-server: $schema=PATH"""
    from workflows.catalog import Kinds
    from workflows.language.schema import as_json, recipe_schema

    typer.echo(as_json(recipe_schema(Kinds())), nl=False)
