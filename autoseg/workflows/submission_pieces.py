"""The pieces of a submission to the ai4mi course (SegTHOR): found, made, or told to be missing."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shlex import quote

from autoseg.bundle import BundleInfo
from autoseg.bundle_reader import load_bundle
from autoseg.case_files import ending_of, some
from autoseg.dataset import Dataset, find_cases, load_dataset
from autoseg.errors import AutosegError, Problem, UsageError
from autoseg.evaluation.export_npz import check_exportable, npz_rows, write_export
from autoseg.evaluation.pair import Pair
from autoseg.evaluation.trained import finished_folds
from autoseg.files import write_text
from autoseg.image import grid_differences
from autoseg.io import read_header
from autoseg.parallel import map_cases
from autoseg.results import Summary
from autoseg.sharing.plain_weights import write_weights
from autoseg.sharing.submissions import Piece, own_file
from autoseg.workflows.predict_choice import choose_models
from autoseg.workspace import Workspace

NIFTI = ".nii.gz"
GROUP, STUDENT = "group", "student"  # of the course
STUDENT_METRICS = ("3d_hd95.npz", "3d_dice.npz")


@dataclass(frozen=True)
class Wanted:
    """What is to be handed in, by whom, and where its pieces are."""

    workspace: Workspace
    kind: str
    number: str = ""  # of the group, or of the student
    dataset: str | None = None
    model: Path | None = None  # a bundle below models/; None: the best known, or the only one
    folds: Sequence[str] | None = None  # whose validation cases; None: every finished one
    predictions: Path | None = None  # of the cases in imagesTs; of KiTS: what is handed in

    @property
    def top(self) -> str:
        """The folder in which everything lies."""
        return f"group-{self.number}" if self.kind == GROUP else ""


@dataclass(frozen=True)
class Trained:
    """The model that is handed in, and its label maps of cases that it was not trained on."""

    info: BundleInfo
    data: Dataset
    folds: tuple[str, ...]
    pairs: tuple[Pair, ...]


def group_pieces(wanted: Wanted, room: Path, problems: list[Problem]) -> list[Piece]:
    """group-XX: predictions of the test cases, of the validation cases, code and model."""
    model = _trained(wanted, problems)
    name = f"bestmodel-{wanted.top}.pkl"
    pieces = _tests(wanted, model, problems)
    pieces += _validation(model, room, None, problems)
    code = f"{wanted.top}.bundle"
    place = quote(str((wanted.workspace.root / code).absolute()))
    remedy = f"git -C YOUR_REPOSITORY bundle create {place} HEAD"
    pieces += own_file(wanted.workspace.root, code, remedy, problems)
    if model is not None and not problems:
        write_weights(room / name, load_bundle(model.info.folder, model.folds, True))
        pieces.append(Piece(name, room / name))
    return pieces


def student_pieces(wanted: Wanted, room: Path, problems: list[Problem]) -> list[Piece]:
    """student-nnn: predictions of one fold, two metrics, the curves, weights and a script."""
    model = _trained(wanted, problems)
    pieces = _validation(model, room, STUDENT_METRICS, problems)
    root = wanted.workspace.root
    remedy = f"your script that makes volumes of slices; put it into {root.absolute()}"
    pieces += own_file(root, "stitch.py", remedy, problems)
    if model is None:
        return pieces
    if len(model.folds) > 1:
        there = ", ".join(model.folds)
        problems.append(Problem("val", f"folds {there} are trained", "one", "name it with --fold"))
        return pieces
    run = model.info.folder.parent / "run" / f"fold_{model.folds[0]}"
    own = [root / name for name in ("plot.pdf", "plot.png") if (root / name).is_file()]
    plot = (own or [run / "progress.png"])[0]
    if plot.is_file():
        pieces.append(Piece(plot.name if own else "plot.png", plot))
    else:
        problems.append(Problem("plot.png", "is missing", f"{plot}, or plot.pdf in {root}"))
    epochs = _epochs(run / "history.csv", problems)
    if not problems:
        write_text(room / "best_epoch.txt", f"{epochs}\n")
        write_weights(room / "bestweights.pt", load_bundle(model.info.folder, model.folds, True))
        pieces += [Piece(name, room / name) for name in ("best_epoch.txt", "bestweights.pt")]
    return pieces


def _trained(wanted: Wanted, problems: list[Problem]) -> Trained | None:
    """Return the model and its validation; None, with the reason in `problems`, for none."""
    try:
        chosen = choose_models(
            wanted.workspace, dataset=wanted.dataset, configuration=None, size=None, folds=None,
            bundles=[wanted.model] if wanted.model else None, trust=True,
        )  # fmt: skip
    except UsageError as error:
        fact = f"{error.fact} in {error.place}"
        problems.append(Problem("val and the model", fact, remedy=error.remedy))
        return None
    if len(chosen.models) > 1:
        names = ", ".join(str(info.folder) for info in chosen.models)
        raise UsageError(f"{len(chosen.models)} models: {names}", remedy="name one with -m")
    (info,) = chosen.models
    name = wanted.workspace.find_raw(wanted.dataset or info.plan.dataset)
    data = load_dataset(wanted.workspace.raw(name))
    check_exportable(data.labels)
    finished, _ = finished_folds(info.folder.parent)
    folds = tuple(wanted.folds or finished)
    lacking = sorted(set(folds or "0") - set(finished))
    if lacking:
        fact, where = f"fold {', '.join(lacking)} has no validation", info.folder.parent / "run"
        remedy = " && ".join(_training(info, data, fold) for fold in lacking)
        problems.append(Problem("val/pred", fact, f"one in {where}", remedy))
        return Trained(info, data, (), ())
    pairs = _pairs(info, data, {fold: finished[fold] for fold in folds}, problems)
    return Trained(info, data, folds, tuple(pairs))


def _training(info: BundleInfo, data: Dataset, fold: str) -> str:
    return f"autoseg_train {info.configuration} {fold} -d {data.name}"


def _pairs(
    info: BundleInfo, data: Dataset, finished: Mapping[str, Summary], problems: list[Problem]
) -> list[Pair]:
    """Return prediction and label of every validation case of these folds."""
    labels = {case.id: case.labels for case in data.cases}
    pairs = []
    for fold in finished:
        folder = info.folder.parent / "run" / f"fold_{fold}" / "validation"
        for case in sorted(scores.case for scores in finished[fold].cases):
            place, reference = folder / f"{case}{NIFTI}", labels.get(case)
            if not place.is_file():
                name, again = f"val/pred/{place.name}", f"{_training(info, data, fold)} --validate"
                problems.append(Problem(name, "is missing", str(place), again))
            elif reference is None or ending_of(reference) != NIFTI:
                fact = "there is no such label map in NIfTI"
                problems.append(Problem(f"val/gt/{place.name}", fact, f"one in {data.folder}"))
            else:
                problems += _other_grid(f"val/pred/{place.name}", place, reference)
                pairs.append(Pair(case, reference, place))
    return pairs


def _validation(
    model: Trained | None, room: Path, metrics: Sequence[str] | None, problems: list[Problem]
) -> list[Piece]:
    """Return predictions and labels of the validation cases, and the metrics of distorch."""
    if model is None or not model.pairs:
        return []
    pieces = []
    for pair in model.pairs:
        assert pair.prediction is not None
        pieces.append(Piece(f"val/pred/{pair.id}{NIFTI}", pair.prediction))
        pieces.append(Piece(f"val/gt/{pair.id}{NIFTI}", pair.reference))
    if problems:
        return pieces
    score = partial(npz_rows, labels=model.data.labels)
    rows = {o.item.id: o.result() for o in map_cases(score, model.pairs, title="metrics")}
    write_export(room / "metrics", rows, model.data.labels, "validation cases")
    for path in sorted((room / "metrics").glob("*.npz")):
        if metrics is None or path.name in metrics:
            pieces.append(Piece(f"val/{path.name}", path))
    return pieces


def _tests(wanted: Wanted, model: Trained | None, problems: list[Problem]) -> list[Piece]:
    """Return the predictions of the cases in `imagesTs`, in files of their names."""
    name = wanted.workspace.find_raw(wanted.dataset) if model is None else model.data.name
    data = load_dataset(wanted.workspace.raw(name))
    folder = wanted.predictions or wanted.workspace.root / "pred"
    tests = data.folder / "imagesTs"
    if not tests.is_dir() or not any(ending_of(path) for path in tests.iterdir()):
        expected, remedy = f"scans in {tests}", "import them with --tests"
        problems.append(Problem("test/pred", "there are no test cases", expected, remedy))
        return []
    pieces, missing = [], []
    unseen = find_cases(tests, len(data.channels), data.file_ending)
    for case in unseen:
        place, path = f"test/pred/{case.id}{NIFTI}", folder / f"{case.id}{NIFTI}"
        if path.is_file():
            pieces.append(Piece(place, path))
            problems += _other_grid(place, path, case.images[0])
        else:
            missing.append(path.name)
    if missing:
        fact = f"{len(missing)} of {len(unseen)} missing: {some(missing)}"
        where = f"-i {quote(str(tests))} -o {quote(str(folder))}"
        remedy = f"autoseg_predict -d {name} {where}"
        problems.append(Problem("test/pred", fact, f"them in {folder}", remedy))
    return pieces


def _other_grid(name: str, path: Path, scan: Path) -> list[Problem]:
    try:
        differences = grid_differences(read_header(path).geometry, read_header(scan).geometry)
    except AutosegError as error:
        return [Problem(name, error.fact, error.expected, error.remedy)]
    return [
        Problem(name, f"{what} {found}", f"{expected} as in {scan}")
        for what, found, expected in differences
    ]


def _epochs(path: Path, problems: list[Problem]) -> int:
    """Return how many epochs the weights were trained: they are the last ones, not a best."""
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        if rows:
            return len(rows)
    problems.append(Problem("best_epoch.txt", "cannot be known", f"the epochs in {path}"))
    return 0
