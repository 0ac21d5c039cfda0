"""The command of an exported folder."""

import os
from pathlib import Path

import pytest

from seqfuse.runtime import runner


@pytest.mark.parametrize("output", ["in.csv", "./in.csv", "link.csv", "hard.csv"])
def test_the_input_is_not_written_over(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "load", lambda folder, int8: None)
    Path("in.csv").write_text("a\n1\n")
    Path("link.csv").symlink_to("in.csv")
    os.link("in.csv", "hard.csv")
    assert runner.main(["in.csv", output], tmp_path) == 1
    said = capsys.readouterr().err
    assert said.startswith("run.py: ")
    assert said.endswith("is the input: name another output\n")
    assert Path("in.csv").read_text() == "a\n1\n"


def test_options_of_the_job_are_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    given: dict = {}
    monkeypatch.setattr(runner, "load", lambda folder, int8, **options: given.update(options))
    words = ["every=24", "start=2024-01-31 12:00", "known=a=b.csv"]
    runner.main(["--check", *words], tmp_path)
    assert not given, "they are for predictions"
    with pytest.raises(AttributeError):  # of a job that there is none of
        runner.main(["in.csv", str(tmp_path / "out.csv"), *words], tmp_path)
    assert given == {"every": 24, "start": "2024-01-31 12:00", "known": "a=b.csv"}
    assert runner.main(["in.csv", "out.csv", "other=3"], tmp_path) == 2
    assert "usage" in capsys.readouterr().err
