"""Tables as text: for the screen, as Markdown, as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autoseg.errors import UsageError, suggest


@dataclass(frozen=True)
class Table:
    """Cells with a title above and notes below; the first column is text, the others numbers."""

    title: str = ""
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    text: tuple[int, ...] = ()  # further columns of text, which start at the left


def lay_out(tables: Sequence[Table], style: str = "plain") -> str:
    """Return tables in one of the STYLES, an empty line between two."""
    if style not in STYLES:
        raise UsageError(f"unknown style of a table '{style}'", remedy=suggest(style, STYLES))
    return "\n\n".join("\n".join(STYLES[style](table)) for table in tables)


def _plain(table: Table) -> list[str]:
    lines = [table.title] if table.title else []
    if table.rows:
        grid = [table.head, *table.rows]
        widths = [max(len(row[i]) for row in grid) for i in range(len(table.head))]
        lines += [
            "  ".join(
                cell.ljust(width) if _is_text(table, i) else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in grid
        ]
    return lines + list(table.notes)


def _markdown(table: Table) -> list[str]:
    lines = [f"**{table.title}**", ""] if table.title else []
    if table.rows:
        rule = ["---" if _is_text(table, i) else "---:" for i in range(len(table.head))]
        cells = [[_for_markdown(cell) for cell in row] for row in (table.head, *table.rows)]
        rows = [cells[0], rule, *cells[1:]]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
    return lines + [line for note in table.notes for line in ("", note)]


def _latex(table: Table) -> list[str]:
    """Return a table for LaTeX; its rules need the package booktabs."""
    notes = [rf"\par {{\footnotesize {_for_latex(note.strip())}}}" for note in table.notes]
    if not table.rows:
        return [rf"\par {_for_latex(table.title)}", *notes] if table.title else notes
    columns = "".join("l" if _is_text(table, i) else "r" for i in range(len(table.head)))
    cells = [" & ".join(map(_for_latex, row)) + r" \\" for row in (table.head, *table.rows)]
    return [
        r"\begin{table}",
        r"\centering",
        *([rf"\caption{{{_for_latex(table.title)}}}"] if table.title else []),
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        cells[0],
        r"\midrule",
        *cells[1:],
        r"\bottomrule",
        r"\end{tabular}",
        *notes,
        r"\end{table}",
    ]


def _is_text(table: Table, column: int) -> bool:
    return column == 0 or column in table.text


def _for_markdown(cell: str) -> str:
    return cell.replace("|", r"\|")


_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": "$<$", ">": "$>$", **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip


def _for_latex(cell: str) -> str:
    escaped = "".join(_LATEX.get(sign, sign) for sign in cell)
    # A minus, not a hyphen: before a digit, at the start of a number.
    return re.sub(r"(?<![\w.])-(?=\d)", "$-$", escaped)


STYLES: dict[str, Callable[[Table], list[str]]] = {
    "plain": _plain,
    "markdown": _markdown,
    "latex": _latex,
}
