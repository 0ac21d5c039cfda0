"""House rules for others: workflows, issue forms and hooks say what there is."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PLACE = ROOT / ".github"
FORMS = sorted((PLACE / "ISSUE_TEMPLATE").glob("*.yml"))
WORKFLOWS = sorted((PLACE / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TARGETS = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((PLACE / "workflows" / name).read_text())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_what_there_is(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}, "more is for single jobs"
    assert all(job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())
    for step in steps(workflow):
        assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step.get("uses", "any/thing@v1"))
        for words in re.findall(r"make ([\w. /-]+?)(?= ARGS=|$)", step.get("run", "")):
            assert {*words.split()} <= TARGETS
        for script in re.findall(r"bash (\S+)", step.get("run", "")):
            assert (ROOT / script).exists()


def test_every_folder_of_tests_has_its_slow_part() -> None:
    parts = read("ci.yml")["jobs"]["slow"]["strategy"]["matrix"]["part"]
    named = {name for part in parts for name in part.split()}
    folders = {f"tests/{path.parent.relative_to(ROOT / 'tests').parts[0]}"
               for path in (ROOT / "tests").rglob("*/test_*.py")}  # fmt: skip
    assert named == {*folders, "tests/test_*.py"}


def test_python_and_systems_are_the_ends_of_what_is_allowed() -> None:
    jobs = read("ci.yml")["jobs"]
    ends = re.fullmatch(r">=(3\.\d+),<3\.(\d+)", PROJECT["project"]["requires-python"])
    assert ends
    oldest, newest = ends[1], f"3.{int(ends[2]) - 1}"
    assert jobs["test"]["strategy"]["matrix"]["python"] == [oldest, newest]
    pairs = jobs["dependencies"]["strategy"]["matrix"]["include"]
    assert [tuple(pair.values()) for pair in pairs] == [
        (oldest, "lowest-direct"),
        (newest, "highest"),
    ]
    assert jobs["system"]["strategy"]["matrix"]["system"] == ["windows-latest", "macos-latest"]


def test_every_dependency_has_an_oldest_version() -> None:
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [*PROJECT["project"]["dependencies"], *(word for extra in extras for word in extra)]
    for requirement in wanted:
        assert ">=" in requirement or requirement.startswith("seqfuse["), requirement


def test_a_release_says_where_it_is_from() -> None:
    build = read("release.yml")["jobs"]["build"]
    used = [step.get("uses", "").split("@")[0] for step in build["steps"]]
    assert "actions/attest-build-provenance" in used
    assert build["permissions"]["attestations"] == build["permissions"]["id-token"] == "write"
    assert build["needs"] == "test"


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_an_issue_form_can_be_filled_in(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    if path.name == "config.yml":
        assert set(form) == {"blank_issues_enabled"}
        return
    assert {"name", "description", "body"} == set(form)
    ids = [field["id"] for field in form["body"]]
    assert len(ids) == len({*ids})
    assert all(field["type"] in ("textarea", "input") for field in form["body"])
    assert all(field["attributes"]["label"] for field in form["body"])


def test_hooks_are_those_of_the_environment() -> None:
    config = yaml.safe_load((PLACE / "pre-commit-config.yaml").read_text())
    assert {repo["repo"] for repo in config["repos"]} == {"local"}
    ruff = {hook["entry"].split()[0] for repo in config["repos"] for hook in repo["hooks"]}
    assert ruff == {".venv/bin/ruff"}


def test_what_contributors_type_exists() -> None:
    text = (PLACE / "CONTRIBUTING.md").read_text()
    [block] = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    for line in re.findall(r"^make ([\w -]+?)(?= +#| ARGS=|$)", block, re.MULTILINE):
        assert {*line.split()} <= TARGETS
    assert (ROOT / re.findall(r"install -c (\S+)", block)[0]).exists()
    for link in re.findall(r"\]\((.*?)\)", text):
        assert (PLACE / link).exists()
