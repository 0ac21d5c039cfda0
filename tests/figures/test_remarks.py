"""The caption that says whether attention is to be believed, from a deletion test."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from seqfuse.figures import collect, drawing
from seqfuse.train import train
from tests.conftest import DRAWN, composed


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "remarks"),
    [
        (("data=synthetic", "model/attention=additive"), 2),
        (("data=synthetic", "model/attention=none", "model/skip=none"), 0),
    ],
)
def test_attention_is_tested_where_there_is_any(
    words: tuple[str, ...], remarks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []

    def remark(figure: Figure, text: str) -> None:
        drawing.remark(figure, text)
        found.append(figure.get_supxlabel())

    monkeypatch.setattr(collect, "remark", remark)
    train(composed([*DRAWN, *words, "trainer.max_epochs=1"]), tmp_path)
    assert len(found) in ({0} if not remarks else {1, remarks})  # where none is wrong, one less
    for text in found:
        above, below = text.split("\n")
        assert above == "time step"
        assert below.startswith("deletion test on ")
        assert "attention finds the steps that count" in below


def test_a_remark_is_as_wide_as_its_figure() -> None:
    figure, _ = drawing.grid(1, 1, size=(3.0, 2.0), margin=(0, 0))
    drawing.remark(figure, "deletion test on 27 items: attention finds the steps that count " * 2)
    drawing.pixels(figure)
    [remark] = [text for text in figure.findobj(Text) if "deletion" in text.get_text()]
    box = remark.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    assert box.height > 20
