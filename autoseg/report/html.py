"""A page of HTML in one file: headings, sentences, tables, figures, and the frame around them.

Everything that comes from data is escaped here, once: the other files of this folder hand over
plain text, or HTML that was made by a function of this one.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

MARK = "autoseg report"  # the page says so in its head: then another report may replace it

POLICY = "default-src 'none'; img-src data:; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
LONG = 24  # letters that stay on one line of a table


@dataclass(frozen=True)
class Section:
    """One chapter of a page; `body` is HTML."""

    title: str
    body: str
    empty: bool = False  # it only says what to run for it

    @property
    def anchor(self) -> str:
        """What links to it name."""
        return "-".join(self.title.lower().split())


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text; `kind` is a class of the style sheet."""
    return f"<p{_class(kind)}>{escape(text)}</p>"


def hint(text: str) -> str:
    """Return a sentence in place of something that is not there yet: what to run for it."""
    return paragraph(text, "hint")


def not_yet(title: str, text: str) -> Section:
    """Return a chapter of which nothing is there yet: what to run for it."""
    return Section(title, hint(text), empty=True)


def heading(text: str) -> str:
    """Return a heading inside a section."""
    return f"<h3>{escape(text)}</h3>"


def bullets(lines: Iterable[str]) -> str:
    """Return a list of sentences; nothing of none."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    caption: str = "",
    words: Sequence[int] = (),
) -> str:
    """Return a table that scrolls in itself where it is wider than the screen.

    The first column stays in view; the columns numbered in `words` hold text, all others numbers.
    """
    kinds = [_kind(column, rows) if column in words else "" for column in range(len(head))]
    top = "".join(f"<th{kind}>{escape(cell)}</th>" for kind, cell in zip(kinds, head, strict=True))
    body = "".join(
        "<tr>"
        + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        f"{paragraph(caption, 'caption') if caption else ''}"
        f'<div class="scroll"><table><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def figure(content: str, caption: str) -> str:
    """Return a figure around an SVG or a picture (HTML), with its caption (plain text)."""
    return f"<figure>{content}<figcaption>{escape(caption)}</figcaption></figure>"


def picture(data_uri: str, text: str) -> str:
    """Return a picture that is part of the page; `text` says what it shows."""
    return f'<img src="{escape(data_uri)}" alt="{escape(text)}">'


def data_uri(png: bytes) -> str:
    """Return a PNG file as what a page names in place of an address."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def side_by_side(figures: Iterable[str], kind: str = "grid") -> str:
    """Return figures beside each other, as many as the screen has room for."""
    return f'<div class="{kind}">{"".join(figures)}</div>'


def folded(title: str, content: str) -> str:
    """Return HTML that is shown when its title is asked for."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def page(
    title: str, subtitle: str, sections: Sequence[Section], style: str = "", script: str = ""
) -> str:
    """Return the whole file: nothing in it points outside of it, and nothing may be fetched.

    `style` and `script` are what further elements of the sections need.
    """
    style = (files("autoseg.report") / "page.css").read_text(encoding="utf-8") + style
    script = f"<script>{script}</script>" if script else ""
    links = "".join(f'<a href="#{s.anchor}">{escape(s.title)}</a>' for s in sections)
    body = "".join(
        f'<section id="{s.anchor}"><h2>{escape(s.title)}</h2>{s.body}</section>' for s in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="generator" content="{MARK}"><title>{escape(title)}</title>'
        f"<style>{style}</style></head>\n<body><h1>{escape(title)}</h1>"
        f"{paragraph(subtitle, 'soft')}<nav>{links}</nav>\n{body}{script}</body></html>\n"
    )


def _kind(column: int, rows: Sequence[Sequence[str]]) -> str:
    """Return the class of a column of text: long lines are broken, short ones are not."""
    longest = max((len(row[column]) for row in rows), default=0)
    return _class("long" if longest > LONG else "words")


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
