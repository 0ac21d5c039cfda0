"""seqfuse new makes a project of your own, which depends on seqfuse, or brings one up to date.

Usage: seqfuse new <name> [<folder>]
       seqfuse new --update [<folder>]

  seqfuse new mylab              a folder mylab: data, parts, an experiment, a sweep, tests, CI
  cd mylab && make train test    works at once, on a made-up sample
  seqfuse new --update           merges what a later seqfuse changed in the files it made

The first commit of the project holds the files as they were made, so that git can merge later ones
with yours. Nothing is committed by --update: look at what came, then type git commit.
"""

import importlib.util
import json
import keyword
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from seqfuse.runtime import files
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import one_line, say

TEMPLATE = Path(__file__).parent / "template"
"""A project of the name `mylab`."""
SUBJECT = "Template of seqfuse"
AUTHOR = ("user.name=seqfuse", "user.email=seqfuse@localhost", "commit.gpgsign=false")
"""Settings of git for commits of the template, whoever makes them."""


def main() -> None:
    """The command; `seqfuse new --help` explains it."""
    words = sys.argv[1:]
    if not words or {"--help", "-h"} & {*words}:
        return say((__doc__ or "").rstrip())
    with one_line():
        if len(words) > 2:
            raise InputError(f"new: too many words: {' '.join(words[2:])}")
        if words[0] == "--update":
            return update(Path(words[1] if len(words) > 1 else ".").resolve())
        create(words[0], Path(words[1] if len(words) > 1 else words[0]).resolve())


def create(name: str, folder: Path) -> None:
    """Writes a project into a folder that is new or empty, as the first commit of a repository."""
    check_name(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already, and is not empty: name another folder")
    write(folder, rendered(name))
    say(f"made        {folder}")
    if reason := _first_commit(name, folder):
        say(f"note        no repository was begun ({reason}), so --update will not work")
    say(f"next        cd {folder} && make train test")


def check_name(name: str) -> None:
    """Checks that a package may have a name that no other has."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise InputError(f"new {name}: a name is of small letters, digits and _, such as mylab")
    if importlib.util.find_spec(name) or name in ("conf", "tests", "data", "logs"):
        raise InputError(f"new {name}: there is a package or folder of that name: take another")


def rendered(name: str) -> dict[str, str]:
    """Paths and texts of a project."""
    paths = (path for path in sorted(TEMPLATE.rglob("*")) if path.is_file())
    texts = {
        path.relative_to(TEMPLATE).as_posix().replace("mylab", name): path.read_text(
            encoding="utf-8"
        ).replace("mylab", name)
        for path in paths
        if path.suffix != ".pyc"
    }
    texts["Makefile"] = texts["Makefile"].replace("?= seqfuse\n", f"?= {source()}\n")
    return texts


def write(folder: Path, texts: Mapping[str, str]) -> None:
    """Writes texts by their paths."""
    for place, text in texts.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        files.write(folder / place, text)


def source() -> str:
    """Requirement for pip to install this seqfuse: its name, or where it came from (PEP 610).

    Escaped for a Makefile.
    """
    record = distribution("seqfuse").read_text("direct_url.json")
    if record is None:
        return "seqfuse"
    origin = json.loads(record)
    url, parts = origin["url"], urlsplit(origin["url"])
    if "vcs_info" in origin:
        text = f'"seqfuse @ {origin["vcs_info"]["vcs"]}+{url}@{origin["vcs_info"]["commit_id"]}"'
    elif parts.scheme == "file":
        editable = origin.get("dir_info", {}).get("editable", False)
        text = f'{"--editable " if editable else ""}"{url2pathname(parts.path)}"'
    else:
        text = f'"seqfuse @ {url}"'
    return text.replace("$", "$$").replace("#", "\\#")


def _first_commit(name: str, folder: Path) -> str:
    """Begins a repository; returns why not, where that cannot be."""
    try:
        outer = subprocess.run(
            ["git", "rev-parse", "--show-toplevel"], cwd=folder, capture_output=True, text=True
        )
        if outer.returncode == 0:
            return f"{folder} is in that of {outer.stdout.strip()}"
        git(folder, "init", "--quiet")
        _commit(name, folder)
    except (InputError, OSError) as error:
        return str(error)
    return ""


def _commit(name: str, folder: Path) -> str:
    """Commits all files of a folder as the template; returns the commit."""
    version = distribution("seqfuse").version
    git(folder, "add", "--all", "--force")
    message = f"{SUBJECT} {version}\n\nProject: {name}"
    git(folder, "commit", "--quiet", "--no-verify", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def update(folder: Path) -> None:
    """Merges the template of this seqfuse into a project; git knows what was made before."""
    try:
        top = git(folder, "rev-parse", "--show-toplevel")
    except FileNotFoundError as error:
        where = "git is not installed" if error.filename == "git" else f"{folder} is not there"
        raise InputError(f"new --update: {where}") from None
    if Path(top).resolve() != folder:
        raise InputError(f"new --update {folder}: type it in the project, which is {top}")
    base = git(folder, "log", "-1", "--format=%H", f"--grep=^{SUBJECT} ")
    message = git(folder, "log", "-1", "--format=%B", base or "HEAD")
    project = re.search(r"^Project: (\w+)$", message, re.MULTILINE)
    if not base or not project:
        raise InputError(f"new --update: no commit of {folder} is one that `seqfuse new` made")
    if git(folder, "status", "--porcelain"):
        raise InputError(f"new --update: commit or stash what has changed in {folder} first")
    later = _later(folder, base, rendered(project[1]), project[1])
    changed = git(folder, "diff", "--name-only", base, later).splitlines()
    if not changed:
        return say("up to date  nothing has changed in the template")
    merge = ["git", *_settings(), "merge", "--quiet", "--no-ff", "--no-commit", later]
    done = subprocess.run(merge, cwd=folder, capture_output=True, text=True)
    both = git(folder, "diff", "--name-only", "--diff-filter=U").split()
    if done.returncode and not both:
        raise InputError(f"new --update: git merge: {' '.join(done.stderr.split())}")
    say(f"merged      {', '.join(changed)}")
    if both:
        raise InputError(
            f"both changed {', '.join(both)}: mend them, then type git add {' '.join(both)} and "
            "git commit; or git merge --abort"
        )
    say("next        git diff --cached, then git commit; or git merge --abort")


def _later(folder: Path, base: str, texts: Mapping[str, str], name: str) -> str:
    """A commit behind `base` with other files; the folder of the project is not touched."""
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place, "tree")
        git(folder, "worktree", "add", "--quiet", "--detach", str(tree), base)
        try:
            git(tree, "rm", "-r", "--quiet", "--force", ".")
            write(tree, texts)
            return _commit(name, tree)
        finally:
            git(folder, "worktree", "remove", "--force", str(tree))


def _settings() -> list[str]:
    return [word for setting in AUTHOR for word in ("-c", setting)]


def git(folder: Path, *words: str) -> str:
    """Runs a command of git and returns its output.

    Raises:
        OSError: there is no git, or no such folder.
    """
    done = subprocess.run(["git", *_settings(), *words], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"git {words[0]}: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


if __name__ == "__main__":
    main()
