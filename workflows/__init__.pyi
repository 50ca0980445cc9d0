from .language.dump import dump
from .language.load import load
from .language.recipe import Recipe
from .mistakes import RecipeError
from .opened import Result, Run, open_run
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
