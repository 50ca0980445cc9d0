"""What to run, in which order: recipes, stages, runs that resume, and the command `chronovox`.

What the package offers stands in `__init__.pyi`; each name is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
