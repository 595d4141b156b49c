"""Layouts are data: patterns that can be used, and named wherever a user looks."""

from pathlib import Path

import pytest

from autoseg.cli import main
from autoseg.errors import UsageError
from autoseg.importing.arguments import parse_classes, parse_label_map
from autoseg.importing.layouts import LAYOUTS, Layout, with_label_file

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_can_be_used_and_is_documented(name, capsys):
    for layout in LAYOUTS[name]:
        assert layout.declared or ("{case}" in layout.images and "{case}" in layout.labels)
        values = parse_classes(layout.classes).values() if layout.classes else []
        numbers = {n for value in values for n in (value if isinstance(value, list) else [value])}
        assert set(parse_label_map(layout.label_map).values()) <= numbers
    for page in ("data.md", "command_line.md"):
        assert f"`{name}`" in (DOCS / page).read_text(encoding="utf-8")
    main(["import", "-h"])
    assert name in " ".join(capsys.readouterr().out.split())


def test_another_label_file_keeps_the_folder():
    layout = with_label_file(LAYOUTS["segthor"][0], "GT2.nii.gz")
    assert layout.labels == "train/{case}/GT2.nii.gz"
    for wrong in (Layout(declared=True), LAYOUTS["totalsegmentator"][0], LAYOUTS["pku"][0]):
        with pytest.raises(UsageError, match="--gt GT2, expected the name of a file"):
            with_label_file(wrong, "GT2")
