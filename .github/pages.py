"""Pages that are made when the site is built: keys of the configuration, changes, security."""

import re
from collections.abc import Iterator
from importlib import import_module
from inspect import Parameter, cleandoc, signature
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
COMMANDS = ("train", "predict", "explain", "evaluate", "export")
DOCUMENTED = ("seqfuse.", "lightning.", "torch.optim.", "torchmetrics.")
"""Beginnings of classes whose docstrings explain their arguments."""
COPIED = {"changes.md": ROOT / "CHANGELOG.md", "security.md": ROOT / ".github" / "SECURITY.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are written or kept elsewhere."""
    for name, path in COPIED.items():
        files.append(File.generated(config, name, content=path.read_text(encoding="utf-8")))
    files.append(File.generated(config, "keys.md", content=keys_page()))
    return files


class Key(NamedTuple):
    """A key of a YAML file, its default and what is said of it."""

    name: str
    default: str
    meaning: str


def keys_page() -> str:
    """Every key of the configuration, by group and option."""
    parts = [
        "# Keys\n",
        "Every key can be overridden on the command line: `seqfuse-train <key>=<value>`. "
        "`seqfuse-train --cfg job` prints them as composed. `group=option` chooses a file; "
        "`auto` is filled in from the training data.\n",
    ]
    known = explained()
    for name in COMMANDS:
        parts += section(f"seqfuse-{name}", CONF / f"{name}.yaml", 2, known)
    groups = sorted({path.parent for path in CONF.rglob("*.yaml")} - {CONF, CONF / "hydra"})
    for group in groups:
        title = group.relative_to(CONF).as_posix()
        if title == "experiment":  # values of the others, no keys of its own
            continue
        parts.append(f"## {title}\n")
        for path in sorted(group.glob("*.yaml")):
            parts += section(f"{title}={path.stem}", path, 3, known)
    return "\n".join(parts)


def explained() -> dict[str, str]:
    """Meanings of keys by their whole names, from whichever file explains them."""
    paths = [CONF / f"{name}.yaml" for name in COMMANDS]
    paths += sorted(path for path in CONF.glob("*/**/*.yaml"))
    known: dict[str, str] = {}
    for path in paths:
        for name, meaning in wires(yaml.safe_load(path.read_text(encoding="utf-8"))):
            known.setdefault(name, meaning)
    for path in paths:
        text, prefix = path.read_text(encoding="utf-8"), prefix_of(path)
        for key in keys(text):
            if key.meaning:
                known.setdefault(prefix + key.name, key.meaning)
    return known


def prefix_of(path: Path) -> str:
    """Beginning of the whole names of a file's keys."""
    group = path.parent.relative_to(CONF).as_posix().replace("/", ".")
    package = re.match(r"# @package (\S+)", path.read_text(encoding="utf-8"))
    section = package[1] if package else group
    return "" if section in (".", "_global_") else f"{section}."


def wires(node: Any) -> Iterator[tuple[str, str]]:
    """Keys that an argument of a class follows, and the meaning of that argument."""
    if not isinstance(node, dict):
        return
    told = arguments(node.get("_target_"))
    for name, value in node.items():
        if is_wired(value) and told.get(str(name)):
            yield value[2:-1], told[str(name)].replace("|", "or")
        yield from wires(value)


def section(title: str, path: Path, level: int, known: dict[str, str]) -> list[str]:
    """Heading, what the file says of itself, and a table of its keys."""
    text, prefix = path.read_text(encoding="utf-8"), prefix_of(path)
    about = re.match(r"(?:# (?!@package).*\n)*", re.sub(r"^# @package.*\n", "", text))
    lead = " ".join(line[2:] for line in about[0].splitlines()) if about else ""
    known = known | dict(wires(yaml.safe_load(text)))
    rows = []
    for key in keys(text):
        name = prefix + key.name
        rows.append(f"| `{name}` | {code(key.default)} | {key.meaning or known.get(name, '')} |")
    if path.stem.startswith("_"):
        title = f"{title.partition('=')[0]}: shared by several ({path.stem})"
    heading = f"{'#' * level} {title}\n"
    table = ["| key | default | meaning |", "|---|---|---|", *rows, ""] if rows else []
    return [heading, *([lead + "\n"] if lead else []), *table]


def keys(text: str) -> Iterator[Key]:
    """The keys of a YAML file that are values of its own."""
    node = yaml.safe_load(text)
    if isinstance(node, dict):
        comments = commented(text)
        yield from below(node, (), comments)


def below(
    node: dict[str, Any], path: tuple[str, ...], comments: dict[tuple[str, ...], str]
) -> Iterator[Key]:
    """The keys of a section; what no comment explains, the class that it names does."""
    told = arguments(node.get("_target_"))
    for name, value in node.items():
        place = (*path, str(name))
        if name in ("defaults", "_target_", "_partial_") or is_wired(value):
            continue
        if isinstance(value, dict) and value and name != "params":
            if name != "module":
                yield from below(value, place, comments)
            continue
        meaning = comments.get(place) or told.get(str(name), "")
        yield Key(".".join(place), typed(value), meaning.replace("|", "or"))


def typed(value: Any) -> str:
    """A value as it is typed, such as `null` and `true`."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...") if not isinstance(value, str) else value


def is_wired(value: Any) -> bool:
    """Whether a value is that of another key."""
    return (
        isinstance(value, str)
        and re.fullmatch(r"\$\{(data|task|model)\.[\w.]+\}", value) is not None
    )


def commented(text: str) -> dict[tuple[str, ...], str]:
    """The comment above each key, by the path of the key."""
    found: dict[tuple[str, ...], str] = {}
    stack: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        if match := re.match(r"\s*# ?(.*)", line):
            comment.append(match[1])
        elif match := re.match(r"( *)([\w.-]+):", line):
            indent = len(match[1])
            stack = [entry for entry in stack if entry[0] < indent] + [(indent, match[2])]
            if comment and stack:
                found[tuple(name for _, name in stack)] = " ".join(comment)
            comment = []
        else:
            comment = []
    return found


def arguments(target: Any) -> dict[str, str]:
    """Type and meaning of a class's arguments, from its signature and docstring."""
    if not isinstance(target, str) or not target.startswith(DOCUMENTED):
        return {}
    module, _, name = target.rpartition(".")
    part = getattr(import_module(module), name)
    ours = target.startswith("seqfuse.")
    texts = [part.__doc__, None if ours else part.__init__.__doc__]
    if ours and isinstance(part, type):  # which takes arguments of those it is derived from
        texts = [base.__doc__ for base in reversed(part.__mro__) if base is not object]
    meanings: dict[str, str] = {}
    for text in filter(None, texts):
        meanings |= {n: m if ours else sentence(m) for n, m in described(text, ours).items()}
    kinds = {
        key: str(p.annotation).replace("<class '", "").replace("'>", "")
        for key, p in signature(part).parameters.items()
        if ours and p.annotation is not Parameter.empty and "." not in str(p.annotation)
    }
    return {
        key: "; ".join(text for text in (kinds.get(key, ""), meanings.get(key, "")) if text)
        for key in {*kinds, *meanings}
    }


def sentence(text: str) -> str:
    """The first sentence of the documentation of others, as plain text."""
    text = re.sub(r":\w+:`~?([^`]*)`|``([^`]*)``", lambda m: f"`{m[1] or m[2]}`", text)
    return re.split(r"(?<=\w|`)\.\s|\s\(default", text + " ")[0].strip().rstrip(".")


def described(docstring: str, ours: bool) -> dict[str, str]:
    """Meaning of each argument that a docstring explains; others part them by empty lines."""
    said = re.split(r"\nArgs:\n", cleandoc(docstring))
    meanings: dict[str, str] = {}
    body = said[1] if len(said) > 1 else ""
    body = body.split("\n\n")[0] if ours else re.split(r"\n(?=\S)", body)[0]
    for line in body.splitlines():
        if match := re.match(r" {4}(\w+)(?: \([^)]*\))?: ?(.*)", line):
            meanings[current := match[1]] = match[2]
        elif line.strip() and meanings:
            meanings[current] += " " + line.strip()
    return meanings


def code(value: str) -> str:
    """A default as code; nothing for what is empty."""
    return f"`{value}`".replace("|", "\\|") if value else ""
