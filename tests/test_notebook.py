"""Notebooks: stored clean, run from top to bottom, and show what their text promises."""

import ast
import base64
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import nbformat
import pytest
from ipykernel.kernelspec import write_kernel_spec
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
CELL_SECONDS = 300
NOWHERE = "http://127.0.0.1:9"
"""A proxy that nobody listens at: what asks the network fails."""
TROUBLE = re.compile(r"^(seqfuse: |run\.py: |Traceback|\S*\d+: \w*Warning)", re.MULTILINE)
"""What a command says that failed: Jupyter goes on to the next cell."""
Executed = Callable[[str], NotebookNode]


def read(path: Path) -> NotebookNode:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executed]:
    """A notebook with its outputs, by name; it runs once, in an empty folder, without a network."""
    home = tmp_path_factory.mktemp("jupyter")
    # A user's own kernel of this name would run another interpreter.
    write_kernel_spec(home / "kernels" / "python3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(home))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(home / "runtime"))
        patch.setenv("IPYTHONDIR", str(home / "ipython"))
        patch.delenv("SEQFUSE_DATA", raising=False)
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            patch.setenv(name, NOWHERE)

        @cache
        def once(name: str) -> NotebookNode:
            return run(FOLDER / f"{name}.ipynb", tmp_path_factory.mktemp(name))

        yield once


def run(path: Path, folder: Path) -> NotebookNode:
    """Raises CellExecutionError, with the traceback, at the first cell that fails."""
    notebook = read(path)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(
        notebook, timeout=CELL_SECONDS, kernel_name="python3", resources=resources
    ).execute()
    return notebook


def outputs(notebook: NotebookNode, cell_id: str) -> list[NotebookNode]:
    return next(cell.outputs for cell in notebook.cells if cell.id == cell_id)


def printed(notebook: NotebookNode, cell_id: str) -> str:
    return "".join(one.text for one in outputs(notebook, cell_id) if one.output_type == "stream")


def pictures(notebook: NotebookNode) -> list[bytes]:
    """The images of all cells."""
    data = [one.get("data", {}) for cell in code(notebook) for one in cell.outputs]
    return [base64.b64decode(each["image/png"]) for each in data if "image/png" in each]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_without_outputs(path: Path) -> None:
    for cell in code(read(path)):
        assert cell.outputs == [], cell.id
        assert cell.execution_count is None, cell.id


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_without_error_or_warning(path: Path, executed: Executed) -> None:
    cells = code(executed(path.stem))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for one in cell.outputs:
            assert one.output_type != "error", cell.id
            assert one.get("name") != "stderr", f"{cell.id}: {one.text}"
            assert not TROUBLE.search(one.get("text", "")), f"{cell.id}: {one.text}"
    assert pictures(executed(path.stem)), "a reader wants to see something"


@pytest.mark.slow
def test_quickstart_learns(executed: Executed) -> None:
    notebook = executed("quickstart")
    metrics = ast.literal_eval(outputs(notebook, "metrics")[0].data["text/plain"])
    assert metrics["test/accuracy"] > 0.9
    assert 0 < metrics["test/loss"] < 0.3
    right, _, total, *_ = printed(notebook, "predict").split()
    assert int(right) / int(total) == pytest.approx(metrics["test/accuracy"], abs=1e-4)
    assert int(total) == 370


@pytest.mark.slow
def test_quickstart_compares_two_runs(executed: Executed) -> None:
    notebook = executed("quickstart")
    metrics = ast.literal_eval(outputs(notebook, "metrics")[0].data["text/plain"])
    _, *rows = [line.split() for line in printed(notebook, "compare").splitlines()]
    assert [row[0] for row in rows] == ["whole", "model/cnn=none"]
    assert float(rows[0][1]) == pytest.approx(metrics["test/accuracy"], abs=1e-3)
    assert all(float(accuracy) > 0.8 for _, accuracy, _, _ in rows)
    assert rows[0][1:] != rows[1][1:], "the override changed nothing"


@pytest.mark.slow
def test_quickstart_draws_attention(executed: Executed) -> None:
    (figure,) = outputs(executed("quickstart"), "attention")
    image = base64.b64decode(figure.data["image/png"])
    assert image.startswith(b"\x89PNG")
    assert len(image) > 20_000, "nine panels with lines and shading are larger than an empty page"


@pytest.mark.slow
def test_series_are_recognised(executed: Executed) -> None:
    right, _, total, *_ = printed(executed("1_your_own_series"), "seconds").split()
    assert int(total) == 40
    assert int(right) >= 36


@pytest.mark.slow
def test_orders_are_told_apart(executed: Executed) -> None:
    (table,) = outputs(executed("4_texts_and_tags"), "cross")
    _, play, book, crossed, *rest = table.data["text/plain"].splitlines()
    assert (play.split()[-1], book.split()[-1]) == ("play", "book")
    assert crossed.split()[-1] == "book", "the text says that the object wins"
    assert len(rest) == 7


@pytest.mark.slow
def test_a_missing_sensor_costs_less_than_a_lying_one(executed: Executed) -> None:
    text = printed(executed("5_fusion"), "lies")
    both, missing, lying = map(float, re.findall(r": ([\d.]+)$", text, re.MULTILINE))
    assert both >= 0.9
    assert missing >= 0.9
    assert lying < 0.7, "the text says that it is lost"


@pytest.mark.slow
def test_neither_pre_training_nor_a_teacher_helps_much(executed: Executed) -> None:
    for cell in ("few-draw", "students-draw"):
        rows = outputs(executed("6_few_labels"), cell)[0].data["text/plain"].splitlines()[2:]
        plain, changed = ([float(word) for word in row.split()[-3:]] for row in sorted(rows))
        gain = sum(changed) / 3 - sum(plain) / 3
        assert gain < 0.03, "the text says that it does not help"
        assert min(*plain, *changed) > 0.5, "of nine classes"


@pytest.mark.slow
def test_one_rate_is_worse_and_between_the_others_it_is_noise(executed: Executed) -> None:
    notebook = executed("7_sweeps")
    (summary,) = outputs(notebook, "summary")
    assert "9 jobs: 9 completed" in summary.data["text/markdown"]
    assert "noise" in summary.data["text/markdown"]
    table = outputs(notebook, "noise")[0].data["text/plain"].splitlines()[2:]
    lowest, *others = [list(map(float, row.split()[1:])) for row in table]
    assert len(others) == 2
    assert all(min(lowest) > 2 * max(row) for row in others), "the text says: by far"


@pytest.mark.slow
def test_what_is_shipped_says_the_same(executed: Executed) -> None:
    notebook = executed("8_ship_and_serve")
    (table,) = outputs(notebook, "same")
    rows = [re.split(r"\s{2,}", line) for line in table.data["text/plain"].splitlines()[1:]]
    differences = {name: float(difference) for name, difference, _ in rows}
    assert differences["ONNX"] < 1e-5
    assert differences["bare graph"] < 1e-5
    assert differences["bare graph, not scaled"] > 1e-3
    assert "slow" in printed(notebook, "without")
    assert len(ast.literal_eval(printed(notebook, "serve"))["classes"]) == 3


@pytest.mark.slow
def test_forecasts_beat_the_day_before_and_bands_hold(executed: Executed) -> None:
    notebook = executed("2_forecasting")
    shares = re.findall(r": ([\d.]+) of the error", printed(notebook, "compare"))
    assert len(shares) == 2
    assert all(float(share) < 1 for share in shares)
    (within,) = re.findall(r"band: ([\d.]+) %", printed(notebook, "overall"))
    assert 80 < float(within) <= 100


@pytest.mark.slow
def test_faults_are_noticed_and_false_alarms_counted(executed: Executed) -> None:
    notebook = executed("3_anomalies")
    rate, noticed, faults = re.findall(
        r"flagged: (\d+) in 100\nnoticed: (\d+) of (\d+)", printed(notebook, "promise")
    )[0]
    assert 0 <= int(rate) < 50
    assert int(noticed) >= int(faults) - 1
    first, last, peak, *_ = map(int, re.findall(r"\d+", printed(notebook, "beats")))
    assert first - 100 <= peak <= last + 100, "the rule of the archive"
