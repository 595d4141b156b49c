"""The frame of a page: what comes from data is text, and stays text."""

from __future__ import annotations

from autoseg.report.html import Section, figure, page, paragraph, table


def test_names_from_data_cannot_become_markup():
    bad = '<img src="https://example.org/x.png">'
    body = table((bad,), [[bad]], bad) + paragraph(bad) + figure("<svg></svg>", bad)
    whole = page(bad, bad, [Section("Data", body)])
    assert "<img" not in whole
    assert whole.count("&lt;img") == 8


def test_chapters_are_linked_and_named():
    whole = page("HIPPO", "today", [Section("Two words", "<p>x</p>")])
    assert '<a href="#two-words">Two words</a>' in whole
    assert '<section id="two-words"><h2>Two words</h2><p>x</p></section>' in whole


def test_long_lines_of_text_are_broken_and_numbers_are_not():
    made = table(("case", "why"), [["a", "word " * 9], ["b", "short"]], words=(1,))
    assert '<th class="long">why</th>' in made
    assert '<th class="words">why</th>' in table(("case", "why"), [["a", "short"]], words=(1,))
