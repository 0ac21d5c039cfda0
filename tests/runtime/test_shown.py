"""Text made harmless for terminals, and tables of it."""

from seqfuse.runtime import shown


def test_a_table_is_aligned_and_its_cells_end_nothing() -> None:
    table = shown.markdown_table(["name", "n"], [("a|b", "1"), ("\x1b[2J", "10")])
    lines = table.splitlines()
    assert lines[:2] == ["| name    | n  |", "|---------|----|"]
    assert lines[2:] == [r"| a\|b    | 1  |", r"| \x1b[2J | 10 |"]
