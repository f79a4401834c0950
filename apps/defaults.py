"""The Python API's defaults, read without importing it.

The command line shows the same defaults as the Python API, but importing the API means importing torch (seconds), and
`striate detect train --help` must not wait for that. So the signature is read from the source with `ast`; a test
compares the answer with `inspect.signature`.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@cache
def defaults(file: str, name: str) -> dict[str, str]:
    """Return the defaults of a function, a method or a dataclass as they would be typed.

    Args:
        file: Source file relative to the package, such as "detection/detector.py".
        name: "function", "Class.method" or "Dataclass".

    Returns:
        Parameter name -> text of its default; parameters without one are absent.

    Raises:
        LookupError: the file has nothing of that name.
    """
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    node = _definition(tree, name, file)
    constants = _constants(tree)
    if isinstance(node, ast.ClassDef):
        return {field: _text(value, constants) for field, value in _constants(node).items()}
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    with_default = positional[len(positional) - len(arguments.defaults) :]
    pairs = [*zip(with_default, arguments.defaults, strict=True)]
    pairs += [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None]
    return {argument.arg: _text(value, constants) for argument, value in pairs}


def _definition(tree: ast.Module, name: str, file: str) -> ast.ClassDef | ast.FunctionDef:
    node: ast.Module | ast.ClassDef | ast.FunctionDef = tree
    for part in name.split("."):
        found = [n for n in node.body if isinstance(n, (ast.ClassDef, ast.FunctionDef)) and n.name == part]
        if not found:
            raise LookupError(f"{file} has no {name}")
        node = found[-1]
    assert not isinstance(node, ast.Module)
    return node


def _constants(tree: ast.Module | ast.ClassDef) -> dict[str, ast.expr]:
    """Return the plain assignments of a module (a default may be a named constant) or the fields of a dataclass."""
    found: dict[str, ast.expr] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            found[node.target.id] = node.value
    return found


def _text(value: ast.expr, constants: dict[str, ast.expr]) -> str:
    if isinstance(value, ast.Name) and value.id in constants:
        value = constants[value.id]
    return str(value.value) if isinstance(value, ast.Constant) else ast.unparse(value)
