"""One file over the modules of `plain`: what every exported folder runs on."""

import ast
from pathlib import Path

PLAIN = Path(__file__).parents[1] / "runtime"
PACKAGE = "seqfuse.runtime."
MISSING = """except ImportError as error:
    if __name__ != "__main__":
        raise
    raise SystemExit(f"run.py: {error}: type pip install numpy onnxruntime") from None"""


def join(start: str = "runner") -> str:
    """The source of a module and of all that it imports of `plain`, as one file.

    Modules come in the order in which they are imported; imports of one another are left out.

    Raises:
        ValueError: two of them have a name in common.
    """
    order: list[str] = []
    _visit(start, order)
    trees = {name: ast.parse(_source(name)) for name in order}
    _check_names(trees)
    imports = sorted({line for tree in trees.values() for line in _foreign(tree)}, key=_by_kind)
    doc = f'"""{ast.get_docstring(trees[start])}\n"""'
    bodies = [f"# {'-' * 20} {name}\n\n{_body(name, trees[name])}" for name in order]
    ours = [line for line in imports if not _by_kind(line)[0]]
    foreign = [f"    {line}" for line in imports if _by_kind(line)[0]]
    guarded = ["", "try:", *foreign, MISSING] if foreign else []
    return "\n".join([doc, "", *ours, *guarded, "", "", "\n\n\n".join(bodies), ""])


def _visit(name: str, order: list[str]) -> None:
    for node in ast.parse(_source(name)).body:
        if _is_ours(node) and (other := node.module.removeprefix(PACKAGE)) not in order:  # type: ignore[attr-defined]
            _visit(other, order)
    order.append(name)


def _source(name: str) -> str:
    return (PLAIN / f"{name}.py").read_text(encoding="utf-8")


def _is_ours(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and str(node.module).startswith(PACKAGE)


def _foreign(tree: ast.Module) -> list[str]:
    """Imports of the standard library and of numpy, one name each."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            found += [ast.unparse(ast.Import([one])) for one in node.names]
        elif isinstance(node, ast.ImportFrom) and not _is_ours(node):
            found += [ast.unparse(ast.ImportFrom(node.module, [n], 0)) for n in node.names]
    return found


def _by_kind(line: str) -> tuple[bool, bool, str]:
    return line.split()[1].startswith("numpy"), line.startswith("from"), line


def _body(name: str, tree: ast.Module) -> str:
    """The lines of a module without its docstring and its imports."""
    lines = _source(name).splitlines()
    for i, node in enumerate(tree.body):
        doc = i == 0 and isinstance(node, ast.Expr)
        if doc or isinstance(node, (ast.Import, ast.ImportFrom)):
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = ""
    return "\n".join(lines).strip()


def _check_names(trees: dict[str, ast.Module]) -> None:
    owners: dict[str, str] = {}
    for module, tree in trees.items():
        for name in _names(tree):
            if owners.setdefault(name, module) != module:
                raise ValueError(f"'{name}' is in plain/{owners[name]}.py and plain/{module}.py")


def _names(tree: ast.Module) -> set[str]:
    found = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        for target in targets:
            found |= {one.id for one in ast.walk(target) if isinstance(one, ast.Name)}
    return found
