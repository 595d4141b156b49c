"""What a reader needs to say which data, program and models a report is about."""

from __future__ import annotations

from autoseg.report.html import Section, heading, table
from autoseg.report.material import Material


def about_runs(material: Material) -> Section:
    """Return the chapter that lists what was made by what."""
    rows = [
        ["data set", material.dataset],
        *([name, value] for name, value in material.facts.items()),
    ]
    parts = [table(("what", "value"), rows, words=(1,))]
    for model in material.models:
        facts = {"folds": ", ".join(model.runs) or "none", **model.facts}
        parts.append(heading(model.name))
        parts.append(table(("what", "value"), [[k, v] for k, v in facts.items()], words=(1,)))
    return Section("Manifest", "".join(parts))
