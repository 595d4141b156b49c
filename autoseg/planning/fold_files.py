"""Folds of somebody's own making: our `folds.json`, nnU-Net's `splits_final.json`, or a table.

    [{"train": ["a", "b"], "val": ["c"]}, ...]           nnU-Net's; "validation" means the same
    case,fold                                            .csv: a case is validated in its fold and
    a,0                                                  trained on in all others; "train" in place
    b,1                                                  of a number: trained on in every fold

Whatever is wrong with the file is reported at once.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoseg.dataset import Case
from autoseg.errors import DataError, Problem, number_of, suggest
from autoseg.files import read_json
from autoseg.planning.folds import Fold

SPLITS = "splits_final.json"  # nnU-Net's name
ALWAYS = "train"  # in place of a fold's number in a table
SHOWN = 20  # problems of one kind; the rest is counted
JSON_FORM = '[{"train": ["a", "b"], "val": ["c"]}, ...]'
Lists = tuple[list[str], list[str]] | None  # train and validation; None: not readable


def read_folds(path: Path, cases: Sequence[Case]) -> tuple[tuple[Fold, ...], list[str]]:
    """Return the folds of a file for a data set of `cases`, and what is odd about them.

    Raises DataError with every problem: wrong form, unknown cases, a case twice or on both sides, a
    patient on both sides, an empty side.
    """
    problems: list[Problem] = []
    table = path.suffix.lower() in (".csv", ".tsv", ".txt")
    lists = _parse_table(path, problems) if table else _parse_json(path, problems)
    problems += find_problems(lists, cases)
    if problems:
        count = len(problems)
        raise DataError(
            f"{number_of(count, 'problem')} in these folds",
            place=str(path),
            remedy="correct the file, or move it away to have folds made",
            problems=problems,
        )
    folds = tuple(Fold(tuple(sorted(t)), tuple(sorted(v))) for t, v in filter(None, lists))
    return folds, find_oddities(folds, cases)


# --- what a file says ----------------------------------------------------------------------------


def _parse_json(path: Path, problems: list[Problem]) -> list[Lists]:
    data = read_json(path)
    entries = data.get("folds") if isinstance(data, Mapping) else data
    if not isinstance(entries, list) or not entries:
        problems.append(Problem(path.name, "is not a list of folds", JSON_FORM))
        return []
    return [_parse_entry(i, entry, problems) for i, entry in enumerate(entries)]


def _parse_entry(number: int, entry: Any, problems: list[Problem]) -> Lists:
    place = f"fold {number}"
    if not isinstance(entry, Mapping):
        problems.append(Problem(place, "is not an object", '{"train": [...], "val": [...]}'))
        return None
    train = _parse_side(place, entry, ("train",), problems)
    validation = _parse_side(place, entry, ("val", "validation"), problems)
    return None if train is None or validation is None else (train, validation)


def _parse_side(
    place: str, entry: Mapping[str, Any], names: Sequence[str], problems: list[Problem]
) -> list[str] | None:
    found = [name for name in names if name in entry]
    ids = entry[found[0]] if len(found) == 1 else None
    if isinstance(ids, list) and all(isinstance(case, str) for case in ids):
        return ids
    wanted = " or ".join(f'"{name}"' for name in names)
    fact = f"{found[0]} is no list of case names" if len(found) == 1 else "lacks a list of cases"
    problems.append(Problem(place, fact, wanted))
    return None


def _parse_table(path: Path, problems: list[Problem]) -> list[Lists]:
    rows = _read_rows(path, problems)
    lines: dict[str, int] = {}
    numbers: dict[str, int | None] = {}
    for line, case, fold in rows:
        place = f"line {line}"
        if case in lines:
            problems.append(Problem(place, f"'{case}' stands in line {lines[case]} already"))
        elif fold == ALWAYS:
            numbers[case] = None
        elif fold.isdigit():
            numbers[case] = int(fold)
        else:
            expected = f'a number from 0 on, or "{ALWAYS}"'
            problems.append(Problem(place, f"'{case}' is in fold '{fold}'", expected))
        lines.setdefault(case, line)
    count = 1 + max((number for number in numbers.values() if number is not None), default=-1)
    if rows and not count:
        problems.append(Problem(path.name, "no case is in a fold", "folds 0, 1, ..."))
    if count and not any(number == 0 for number in numbers.values()):
        problems.append(Problem(path.name, "no case is in fold 0", "folds counted from 0"))
        return []
    return [
        ([c for c, n in numbers.items() if n != fold], [c for c, n in numbers.items() if n == fold])
        for fold in range(count)
    ]


def _read_rows(path: Path, problems: list[Problem]) -> list[tuple[int, str, str]]:
    """Return line number, case and fold of every row that has both."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("is not UTF-8 text", place=str(path), expected="case,fold") from error
    head = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=head.count))
    names = [name.strip().lower() for name in next(reader, [])]
    if not {"case", "fold"} <= set(names):
        problems.append(Problem("line 1", f"'{head.strip()}'", "the columns case,fold"))
        return []
    rows = []
    for row in reader:
        cells = dict(zip(names, (cell.strip() for cell in row), strict=False))
        if not any(cells.values()):
            continue
        if cells.get("case") and cells.get("fold"):
            rows.append((reader.line_num, cells["case"], cells["fold"].lower()))
        else:
            problems.append(Problem(f"line {reader.line_num}", "case or fold is empty"))
    if not rows and not problems:
        problems.append(Problem(path.name, "holds no case", "a line case,fold for each"))
    return rows


# --- what is wrong with folds --------------------------------------------------------------------


def find_problems(lists: Sequence[Lists], cases: Sequence[Case]) -> list[Problem]:
    """Return every reason why these folds cannot be trained on."""
    known = {case.id: case for case in cases}
    problems = _unknown_cases(lists, known)
    for number, both_sides in enumerate(lists):
        if both_sides is None:
            continue
        place, (train, validation) = f"fold {number}", both_sides
        for side, ids in (("training", train), ("validation", validation)):
            if not ids:
                problems.append(Problem(place, f"has no {side} cases"))
            twice = sorted(case for case, count in Counter(ids).items() if count > 1)
            problems += _some(place, [f"lists '{c}' more than once for {side}" for c in twice])
        both = sorted(set(train) & set(validation))
        problems += _some(place, [f"trains and validates on '{case}'" for case in both])
        problems += _some(place, _split_patients(train, validation, known))
    return problems


def _unknown_cases(lists: Sequence[Lists], known: Mapping[str, Case]) -> list[Problem]:
    listed = dict.fromkeys(case for fold in filter(None, lists) for case in (*fold[0], *fold[1]))
    unknown = [case for case in listed if case not in known]
    few = len(known) <= SHOWN
    shown = [
        Problem(f"'{case}'", "is no case of the data set", remedy=_near(case, known, few))
        for case in unknown[:SHOWN]
    ]
    if len(unknown) > SHOWN:
        shown.append(Problem(f"{len(unknown) - SHOWN} more", "are no cases of the data set"))
    return shown


def _near(case: str, known: Iterable[str], few: bool) -> str:
    remedy = suggest(case, known)
    return remedy if few or remedy.startswith("did") else ""


def _split_patients(
    train: Sequence[str], validation: Sequence[str], known: Mapping[str, Case]
) -> list[str]:
    """Return a sentence for each patient whose scans are on both sides."""

    def patients(ids: Sequence[str]) -> dict[str, str]:
        found = [(known[case].group, case) for case in ids if case in known]
        return {group: case for group, case in found if group}

    ours, theirs = patients(train), patients(validation)
    return [
        f"trains on '{ours[group]}' and validates on '{theirs[group]}', both of group '{group}'"
        for group in sorted(set(ours) & set(theirs))
        if ours[group] != theirs[group]
    ]


def _some(place: str, facts: Sequence[str]) -> list[Problem]:
    shown = [Problem(place, fact) for fact in facts[:SHOWN]]
    if len(facts) > SHOWN:
        shown.append(Problem(place, f"{len(facts) - SHOWN} more of these"))
    return shown


def find_oddities(folds: Sequence[Fold], cases: Sequence[Case]) -> list[str]:
    """Return what may be meant, but should be said: cases left out, cases validated twice."""
    listed = {case for fold in folds for case in (*fold.train, *fold.validation)}
    absent = sorted(case.id for case in cases if case.id not in listed)
    counts = Counter(case for fold in folds for case in fold.validation)
    twice = sorted(case for case, count in counts.items() if count > 1)
    oddities = []
    if absent:
        names = ", ".join(absent[:5]) + ", ..." * (len(absent) > 5)
        oddities.append(f"{len(absent)} of {len(cases)} cases are in no fold: {names}")
    if twice:
        names = ", ".join(twice[:5]) + ", ..." * (len(twice) > 5)
        oddities.append(f"validated in several folds, which autoseg_evaluate cannot pool: {names}")
    return oddities
