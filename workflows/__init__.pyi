from .dump import dump
from .load import load
from .mistakes import RecipeError
from .opened import Result, Run, open_run
from .recipe import Recipe
from .stage import Stage, StageKind
from .workflow import Workflow

__all__ = [
    "Recipe",
    "RecipeError",
    "Result",
    "Run",
    "Stage",
    "StageKind",
    "Workflow",
    "dump",
    "load",
    "open_run",
]
