"""`python.md`: what the packages offer, of signatures and docstrings, which griffe reads without importing anything.

griffe2md, which renders whole packages by griffe, was looked at: every annotation becomes a link that leads nowhere on
GitHub, and every attribute of a class a section of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import griffe
from griffe import Class, Function, Kind, Module, Object, Parameter, ParameterKind

from tests.docs.reference.markdown import escaped, item, linked, paragraph, prose

ROOT = Path(__file__).parents[3]

SECTIONS = {
    "ssm_ops": {
        "The scan": ("scan", "final_carry", "bidirectional", "step", "convolve_in_time"),
        "Transitions": ("Propagator", "Kernel", "Pointwise", "Transition"),
        "Grids and boundaries": ("Grid", "BOUNDARIES", "wraparound"),
        "Layers that learn": (
            "ConvSSM", "learned_family", "LearnedPropagator", "LearnedKernel", "LearnedPointwise", "SelectiveSteps",
        ),
        "Proof": ("verify_scan", "Certificate", "stability_margin"),
        "Theory": (
            "zero_order_hold", "bilinear", "forward_euler", "backward_euler", "harmonic_oscillator", "oscillation",
            "hippo_matrices", "hippo_basis", "hippo_states", "hippo_reconstruct",
            "whippo_matrix", "whippo_basis", "whippo_blur",
            "toeplitz", "circulant", "linear_convolution", "circular_convolution", "fold", "impulse_response",
            "kernel_power",
        ),
        "Time over several workers": (
            "Affine", "IDENTITY", "chain_prefix", "tree_prefix", "Carry", "CarryExchange", "LocalExchange", "drive",
            "sharded_scan", "time_parallel_scan", "TimeExchange", "exchanged",
        ),
    },
    "workflows": {
        "A run": ("open_run", "Run", "Result"),
        "Recipes": ("Recipe", "Workflow", "load", "dump", "RecipeError"),
        "Stages of your own": ("StageKind", "Stage"),
    },
    "pipeline": {"For stages of your own": ("volume.Settings", "progress.Progress", "volume.InputError")},
}  # fmt: skip
"""The names of each package, in the order of the page: all that it offers, or some of its modules'."""

ABOUT = {
    "ssm_ops": "What the recurrence needs: torch, and nothing of Ray, Zarr or YAML. `from ssm_ops import scan` imports "
    "what is used.",
    "workflows": "Recipes, runs, and stages of your own.",
    "pipeline": "What a stage of your own needs, see [recipes.md](../recipes.md#stages-of-your-own).",
}

INTRODUCTION = """# Python

Shapes are those of [jaxtyping](https://docs.kidger.site/jaxtyping/): `Float[Tensor, "time channel *grid"]` is a real
tensor of these axes, `Complex` a complex one, `Inexact` either, `Shaped` any. `*grid` stands for one to three axes:
depth, height and width, or the last of them; `*spectrum` for the axes of a spectrum ([`Grid`](#grid) says which, and
whether it is real or complex); `#channel` for as many channels as there are, or 1 for all. `Number` is `int | float`,
`PerChannel` a number, or a tensor of one a channel.
"""

TITLES = {"parameters": "Arguments", "attributes": "Attributes", "returns": "Returns", "raises": "Raises"}

WIDTH = 100
"""Signatures that are longer have an argument a line."""

Links = Mapping[str, str]


def page() -> str:
    """The page.

    Raises:
        ValueError: A name that a package offers is in no section, or one of a section is not offered.
    """
    loader = griffe.GriffeLoader(docstring_parser=griffe.Parser.google, search_paths=[ROOT])
    links = {_last(name): f"#{_last(name).lower()}" for sections in SECTIONS.values() for name in _names(sections)}
    parts = [INTRODUCTION.strip()]
    for package, sections in SECTIONS.items():
        module = loader.load(package, try_relative_path=False)
        if module.exports and sorted(_names(sections)) != sorted(module.exports):
            raise ValueError(f"{package}: {sorted(set(_names(sections)) ^ set(module.exports))} too many or too few")
        parts += [f"## `{package}`", paragraph(ABOUT[package])]
        parts.append("\n".join(item(title, _led(names, links)) for title, names in sections.items()))
        for name in _names(sections):
            parts += described(_found(module, name), {other: to for other, to in links.items() if other != _last(name)})
    return "\n\n".join(parts) + "\n"


def described(one: Object, links: Links) -> Iterator[str]:
    """A function, a class or a value: its heading, how it is called, its docstring; of a class also its members."""
    yield f"### `{one.name}`"
    yield _code(f"{one.name} = {one.value}" if one.kind is Kind.ATTRIBUTE else _called(one))
    yield from _docstring(one, links)
    if isinstance(one, Class):
        told = [m for m in one.members.values() if m.docstring and (m.name == "__call__" or m.name[0] != "_")]
        properties = [member for member in told if member.kind is Kind.ATTRIBUTE]
        if properties:
            yield "Properties:"
            yield "\n".join(item(f"`{m.name}`", linked(escaped(m.docstring.value), links)) for m in properties)
        for method in (member for member in told if isinstance(member, Function)):
            yield _code(_called(method))
            yield from _docstring(method, links)


def _names(sections: Mapping[str, tuple[str, ...]]) -> list[str]:
    return [name for names in sections.values() for name in names]


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _led(names: tuple[str, ...], links: Links) -> str:
    return ", ".join(linked(f"`{_last(name)}`", links) for name in names)


def _found(package: Module, name: str) -> Object:
    """What a package offers by this name, wherever it is; its module may be called so too."""
    one = package[name]
    return one[name] if one.is_module else one.final_target if one.is_alias else one


def _docstring(one: Object, links: Links) -> Iterator[str]:
    for section in one.docstring.parsed if one.docstring else ():
        if section.kind is griffe.DocstringSectionKind.text:
            yield prose(section.value, links)
        else:
            yield f"{TITLES[section.kind.value]}:"
            yield "\n".join(_entry(entry, links) for entry in section.value)


def _entry(entry: griffe.DocstringElement, links: Links) -> str:
    """An argument, an attribute or an error with what is said of it; of what is returned that alone."""
    told = linked(escaped(entry.description), links)
    if isinstance(entry, griffe.DocstringReturn):
        return item(told, "")
    return item(f"`{entry.annotation if isinstance(entry, griffe.DocstringRaise) else entry.name}`", told)


def _called(one: Function | Class) -> str:
    """`scan(x: .., *, boundary: ..) -> ..`; of what cannot be called its bases."""
    of_class = f"{one.parent.name}." if isinstance(one.parent, Class) else ""
    bases = [str(base) for base in one.bases] if isinstance(one, Class) else []
    if "Protocol" in bases or (bases and not one.parameters):
        return f"class {one.name}({', '.join(bases)})"
    told: list[str] = []
    before = None
    for parameter in (each for each in one.parameters if each.name != "self"):
        if before is ParameterKind.positional_only is not parameter.kind:
            told.append("/")
        if parameter.kind is ParameterKind.keyword_only is not before:
            told.append("*")
        told.append(_argument(parameter))
        before = parameter.kind
    back = f" -> {one.returns}" if isinstance(one, Function) and one.returns else ""
    name, line = f"{of_class}{one.name}", f"({', '.join(told)}){back}"
    if len(name + line) > WIDTH:
        line = "\n".join(["(", *(f"    {part}," for part in told), f"){back}"])
    return name + line


def _argument(parameter: Parameter) -> str:
    """`boundary: tuple[str, ...]`, `*names: str`, `seed: int = 0`."""
    stars = {ParameterKind.var_positional: "*", ParameterKind.var_keyword: "**"}.get(parameter.kind, "")
    annotation = f": {parameter.annotation}" if parameter.annotation else ""
    default = f" = {parameter.default}" if parameter.default is not None and not stars else ""
    return f"{stars}{parameter.name}{annotation}{default}"


def _code(text: str) -> str:
    return f"```py\n{text}\n```".replace("'", '"')  # as ruff, which formats Markdown too, has them
