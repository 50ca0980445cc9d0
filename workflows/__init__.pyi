from .dump import dump
from .load import load
from .mistakes import RecipeError
from .recipe import Recipe
from .stage import Stage, StageKind
from .workflow import Workflow

__all__ = [
    "Recipe",
    "RecipeError",
    "Stage",
    "StageKind",
    "Workflow",
    "dump",
    "load",
]
