"""Tables as text."""

from __future__ import annotations

import pytest

from autoseg.errors import UsageError
from autoseg.evaluation.layout import Table, lay_out

TABLE = Table(
    "Dice & co_1",
    ("target", "n", "of", "difference"),
    (("liver|left", "40", "a_1", "-0.01 [-0.02, 0.03]"), ("hd95", "8", "b", "<0.001")),
    ("  a note: 5 % of x-rays",),
    text=(2,),
)


def test_on_the_screen_columns_are_aligned():
    assert lay_out([TABLE]).splitlines() == [
        "Dice & co_1",
        "target       n  of            difference",
        "liver|left  40  a_1  -0.01 [-0.02, 0.03]",
        "hd95         8  b                 <0.001",
        "  a note: 5 % of x-rays",
    ]


def test_markdown_escapes_its_bars():
    assert lay_out([TABLE], "markdown").splitlines() == [
        "**Dice & co_1**",
        "",
        "| target | n | of | difference |",
        "| --- | ---: | --- | ---: |",
        r"| liver\|left | 40 | a_1 | -0.01 [-0.02, 0.03] |",
        "| hd95 | 8 | b | <0.001 |",
        "",
        "  a note: 5 % of x-rays",
    ]


def test_latex_escapes_its_signs_and_sets_minus():
    assert lay_out([TABLE], "latex").splitlines() == [
        r"\begin{table}",
        r"\centering",
        r"\caption{Dice \& co\_1}",
        r"\begin{tabular}{lrlr}",
        r"\toprule",
        r"target & n & of & difference \\",
        r"\midrule",
        r"liver|left & 40 & a\_1 & $-$0.01 [$-$0.02, 0.03] \\",
        r"hd95 & 8 & b & $<$0.001 \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\par {\footnotesize a note: 5 \% of x-rays}",
        r"\end{table}",
    ]


@pytest.mark.parametrize("style", ["plain", "markdown", "latex"])
def test_a_table_without_rows_is_its_title_and_notes(style):
    text = lay_out([Table("title"), Table(notes=("note",))], style)
    assert "title" in text
    assert "note" in text
    assert "tabular" not in text


def test_an_unknown_style_names_the_known():
    with pytest.raises(UsageError, match="style of a table 'mardown' -> did you mean 'markdown'"):
        lay_out([TABLE], "mardown")
