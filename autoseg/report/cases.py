"""Single cases: the best and the worst, and those whose label looks wrong, with pictures."""

from __future__ import annotations

from autoseg.errors import number_of
from autoseg.report.gallery import gallery
from autoseg.report.html import Section, folded, heading, hint, not_yet, paragraph, table
from autoseg.report.material import Material, Model
from autoseg.report.means import dice_in, means_where_present, number
from autoseg.report.odd import LISTED, doubtful_labels, false_alarms, odd_cases
from autoseg.report.sizes import sizes_of
from autoseg.report.viewer import viewer_fragment
from autoseg.results import IN_WORDS, OK, Summary

BEST, WORST, FALSE, DOUBTFUL, UNUSUAL = 3, 6, 6, 6, 6  # cases with a picture
VIEWERS = 3  # of each kind
LOWEST = 3  # targets that are named for a case


def about_cases(material: Material) -> Section:
    """Return the chapter of single cases of the model that is shown."""
    model = material.shown
    if model is None or model.summary is None:
        return not_yet(
            "Cases", f"No case has been predicted out of fold yet: run {material.to_train}."
        )
    best, worst = ends(model.summary)
    told = f"{model.name}. Mean Dice of a case: over the targets that its label holds."
    if material.overlays:
        told += " Left the label, right the prediction; the slice in which they differ most."
    parts = [
        paragraph(told, "soft"),
        _ranked("Worst cases", worst, material, model),
        _ranked("Best cases", best, material, model),
        _false_alarms(material, model.summary),
        _doubtful(material, model.summary),
        _viewers(material, model),
    ]
    return Section("Cases", "".join(parts))


def _ranked(title: str, cases: list[str], material: Material, model: Model) -> str:
    """Return the best or the worst cases; nothing where there are too few to have both."""
    if not cases or model.summary is None:
        return ""
    means = means_where_present(model.summary)
    folds = {case: model.fold_of[case] for case in cases if case in model.fold_of}
    shown = {case: f"Dice {number(means[case])}, fold {folds.get(case, '-')}" for case in cases}
    rows = [
        [
            case,
            number(means[case]),
            *([folds.get(case, "-")] if folds else []),
            _lowest(model.summary, case),
        ]
        for case in cases
    ]
    head = ("case", "mean Dice", *(["fold"] if folds else []), "lowest targets")
    pictures = gallery(material.overlays, shown)
    return heading(title) + pictures + table(head, rows, words=(len(head) - 1,))


def _false_alarms(material: Material, summary: Summary) -> str:
    found = false_alarms(summary)
    if not found:
        return ""
    text = (
        f"{number_of(len(found), 'case')} in which a target is found that the label lacks, "
        "the largest first."
    )
    rows = [[case, told] for case, told in list(found.items())[:LISTED]]
    left = len(found) - len(rows)
    return "".join(
        [
            heading("Falsely found"),
            paragraph(text + f" {left} more not listed." * bool(left)),
            table(("case", "found"), rows, words=(1,)),
            gallery(material.overlays, dict(list(found.items())[:FALSE])),
        ]
    )


def _doubtful(material: Material, summary: Summary) -> str:
    title, found = heading("Labels that look wrong"), doubtful_labels(summary)
    if not found:
        return title + paragraph("None disagrees far more than the others with the model.")
    text = (
        "Ranked by how far the agreement with a model that has not seen the label lies below "
        "the usual one. A model's own mistakes look the same: look at the picture first."
    )
    rows = [[odd.case, f"{odd.distance:.1f}", odd.why] for odd in found]
    listed = table(("case", "robust sd", "what"), rows, words=(2,))
    pictures = gallery(material.overlays, {odd.case: odd.why for odd in found})
    return title + paragraph(text) + listed + pictures


def _viewers(material: Material, model: Model) -> str:
    parts = []
    if material.scenes:
        text = "In three planes, around what is labelled; a large scan with fewer voxels."
        more = f" With surfaces that turn: autoseg report -d {material.dataset} --mesh NAME."
        parts += [heading("Look through"), paragraph(text + more)]
        for case, scene in material.scenes.items():
            parts.append(folded(case, viewer_fragment(scene)))
    words = f"-d {material.dataset} --case NAME" if model.fold_of else "--image SCAN --gt LABELS"
    any_case = f"To look through any case: autoseg report {words} --pred PLACE"
    parts.append(hint(f"{any_case}; with --mesh as well its surfaces turn."))
    return "".join(parts)


def to_look_through(material: Material) -> list[str]:
    """Return the cases that get a viewer: the first of the doubtful and of the worst ones."""
    model = material.shown
    if model is None or model.summary is None:
        return []
    doubtful = [odd.case for odd in doubtful_labels(model.summary)[:VIEWERS]]
    return list(dict.fromkeys([*doubtful, *ends(model.summary)[1][:VIEWERS]]))


def ends(summary: Summary) -> tuple[list[str], list[str]]:
    """Return the best cases, the best first, and the worst, the worst first; none in both.

    Only cases whose label holds a target are ranked.
    """
    means = means_where_present(summary)
    ordered = sorted(means, key=lambda case: (means[case], case))
    worst = ordered[: min(WORST, (len(ordered) + 1) // 2)]
    return [case for case in reversed(ordered) if case not in worst][:BEST], worst


def _lowest(summary: Summary, case: str) -> str:
    """Return the targets of the lowest Dice in a case, the lowest first, and what went wrong."""
    found = sorted(dice_in(summary, case).items(), key=lambda item: item[1])[:LOWEST]
    scores = next(scored for scored in summary.cases if scored.case == case)
    told = []
    for target, dice in found:
        status = scores.metrics[target]["dice"].status
        told.append(f"{target} {dice:.3f}{'' if status == OK else f' ({IN_WORDS[status]})'}")
    return ", ".join(told)


def to_draw(material: Material) -> list[str]:
    """Return the cases of which pictures are shown."""
    cases: list[str] = []
    model = material.shown
    if model is not None and model.summary is not None:
        best, worst = ends(model.summary)
        cases += [*worst, *best, *list(false_alarms(model.summary))[:FALSE]]
        cases += [odd.case for odd in doubtful_labels(model.summary)[:DOUBTFUL]]
    sizes = sizes_of(material)
    if sizes is not None:
        cases += [odd.case for odd in odd_cases(sizes)[:UNUSUAL]]
    return list(dict.fromkeys(cases))
