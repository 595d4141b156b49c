"""A folder with every fault that label maps can have: all told in one run, nothing scored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autoseg import cli
from autoseg.errors import DataError, PartlyDone, UsageError
from autoseg.image import Geometry, Image, Orientation, reorient
from autoseg.io import write_image, write_labels
from autoseg.workflows import evaluate as verb
from autoseg.workflows import evaluate_extras
from autoseg.workflows.evaluate import evaluate
from autoseg.workflows.evaluate_extras import Extras

GRID = Geometry((8, 9, 10), (2.0, 1.0, 1.0), (5.0, -3.0, 12.0))
LABELS = np.zeros(GRID.shape, dtype=np.uint8)
LABELS[2:6, 2:7, 1:6] = 1
LABELS[3:5, 3:6, 6:8] = 2
DECLARED = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "organ": 1, "lesion": 2}}


def moved(**change: tuple[float, ...]) -> Callable[[Path], None]:
    geometry = Geometry(
        **{"shape": GRID.shape, "spacing": GRID.spacing, "origin": GRID.origin} | change
    )
    return lambda path: write_labels(path, LABELS, geometry)


def turned(permutation: tuple[int, int, int], *flips: int) -> Callable[[Path], None]:
    turn = Orientation(permutation, flips)
    return lambda path: write_labels(path, turn.apply(LABELS), reorient(GRID, turn))


def floats(array: np.ndarray) -> Callable[[Path], None]:
    stored = array.astype(np.float32)
    return lambda path: write_image(path, Image(stored.reshape(-1, *GRID.shape), GRID))


def cut_short(path: Path) -> None:
    write_labels(path, np.random.default_rng(0).integers(0, 3, GRID.shape, np.uint8), GRID)
    path.write_bytes(path.read_bytes()[:150])


def two_files(path: Path) -> None:
    write_labels(path, LABELS, GRID)
    write_labels(path.with_name("twice.mha"), LABELS, GRID)


PROBABILITIES = np.where(LABELS > 0, 0.93, 0.02)
WITH_NAN = np.where(np.arange(LABELS.size).reshape(GRID.shape) == 7, np.nan, LABELS)

# name of the case: (what writes its prediction, the line that tells it, without the folder)
FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (
        lambda path: None,
        "missing: no prediction, expected one in P -> predict it, or count it as empty "
        "(--allow-missing)",
    ),
    "shape": (
        lambda path: write_labels(path, LABELS[1:], Geometry((7, 9, 10), GRID.spacing)),
        "P/shape.nii.gz: shape 7x9x10, expected 8x9x10 as in shape.nii.gz -> predict on the grid "
        "of the image that was labelled",
    ),
    "spacing": (
        moved(spacing=(2.0, 1.0, 1.01)),
        "P/spacing.nii.gz: spacing (2, 1, 1.01), expected (2, 1, 1) as in spacing.nii.gz -> "
        "correct the header, or compare arrays only (--ignore-geometry)",
    ),
    "origin": (
        moved(origin=(5.0, -3.0, 12.5)),
        "P/origin.nii.gz: origin (5, -3, 12.5), expected (5, -3, 12) as in origin.nii.gz -> "
        "correct the header, or compare arrays only (--ignore-geometry)",
    ),
    "flipped": (
        turned((0, 1, 2), 0),
        "P/flipped.nii.gz: the same grid, stored with its axes flipped or exchanged, expected the "
        "axes of flipped.nii.gz -> reorient it to the reference",
    ),
    "permuted": (
        turned((0, 2, 1)),
        "P/permuted.nii.gz: the same grid, stored with its axes flipped or exchanged, expected the "
        "axes of permuted.nii.gz -> reorient it to the reference",
    ),
    "undeclared": (
        lambda path: write_labels(path, np.where(LABELS == 1, 3, LABELS), GRID),
        "P/undeclared.nii.gz: value 3 in 100 voxels, expected only 0, 1, 2 -> correct the file, or "
        "say what it means: --label-map 3:1",
    ),
    "probabilities": (
        floats(PROBABILITIES),
        "P/probabilities.nii.gz: 720 voxels are not whole numbers: 0.02, 0.93, expected integer "
        "label values -> these look like probabilities: save labels, the largest or "
        "those above 0.5",
    ),
    "channels": (
        floats(np.stack([1 - PROBABILITIES, PROBABILITIES])),
        "P/channels.nii.gz: a label map with 2 channels, expected one channel -> probabilities? "
        "save the label of the largest",
    ),
    "interpolated": (
        floats(LABELS * 0.7),
        "P/interpolated.nii.gz: 112 voxels are not whole numbers: 0.7, 1.4, expected integer label "
        "values -> an interpolated or smoothed label map? resample labels with nearest neighbour",
    ),
    "not_a_number": (
        floats(WITH_NAN),
        "P/not_a_number.nii.gz: 1 voxels are not whole numbers: nan, expected integer label values",
    ),
    "cut": (cut_short, "P/cut.nii.gz: "),
    "nothing": (
        lambda path: path.write_bytes(b""),
        "P/nothing.nii.gz: is empty (0 bytes) -> copy or download it again",
    ),
    "pointer": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1"),
        "P/pointer.nii.gz: is a Git-LFS pointer, not the image -> run git lfs pull",
    ),
    "twice": (
        two_files,
        "P/twice.nii.gz: the same case as twice.mha, expected one file a case -> keep one of them",
    ),
}  # fmt: skip


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A declared folder of references with one good case, `good`."""
    predictions, references = tmp_path / "pred", tmp_path / "labels"
    predictions.mkdir()
    references.mkdir()
    (references / "dataset.json").write_text(json.dumps(DECLARED))
    for folder in (predictions, references):
        write_labels(folder / "good.nii.gz", LABELS, GRID)
    return predictions, references


def add_fault(folders: tuple[Path, Path], name: str) -> str:
    predictions, references = folders
    write_labels(references / f"{name}.nii.gz", LABELS, GRID)
    write, line = FAULTS[name]
    write(predictions / f"{name}.nii.gz")
    return line.replace("P/", f"{predictions}/").replace("in P ", f"in {predictions} ")


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_told_in_one_line(folders, name):
    line = add_fault(folders, name)
    with pytest.raises(DataError) as caught:
        evaluate(predictions=folders[0], references=folders[1])
    assert caught.value.exit_code == 3
    (problem,) = caught.value.problems
    assert str(problem).startswith(line)
    assert "\n" not in str(problem)
    assert not (folders[0] / "summary.json").exists()


def test_all_faults_of_all_kinds_are_listed_in_one_run(folders, capsys):
    lines = [add_fault(folders, name) for name in FAULTS]
    assert cli.main(["evaluate", "-p", str(folders[0]), "-g", str(folders[1])]) == 3
    *told, last = capsys.readouterr().err.splitlines()
    for line in lines:
        assert sum(entry.startswith(line) for entry in told) == 1, line
    assert len(told) == len(lines)
    expected = f"autoseg: error: {folders[0]}: {len(told)} problems, nothing was scored"
    assert last == expected
    assert not (folders[0] / "summary.json").exists()


def test_both_files_of_a_case_are_looked_at_also_without_faults_of_grids(folders):
    predictions, references = folders
    write_labels(references / "good.nii.gz", LABELS * 4, GRID)
    floats(LABELS * 0.7)(predictions / "good.nii.gz")
    with pytest.raises(DataError) as caught:
        evaluate(predictions=predictions, references=references)
    text = str(caught.value)
    assert "value 4 in 100 voxels, expected only 0, 1, 2" in text
    assert "--reference-map 4:1" in text
    assert "112 voxels are not whole numbers" in text


def test_faults_of_grids_and_values_come_together_when_targets_are_the_values_found(folders):
    predictions, references = folders
    (references / "dataset.json").unlink()
    lines = [add_fault(folders, name) for name in ("shape", "probabilities")]
    with pytest.raises(DataError) as caught:
        evaluate(predictions=predictions, references=references)
    assert all(line in str(caught.value) for line in lines)


def test_floats_that_are_nearly_whole_are_rounded_not_cut(folders):
    predictions, references = folders
    floats(LABELS * 0.9996)(predictions / "good.nii.gz")
    summary = evaluate(predictions=predictions, references=references)
    assert summary.mean["organ"]["dice"].mean == 1
    assert summary.mean["lesion"]["dice"].mean == 1


def test_a_picture_of_0_and_255_needs_a_word_about_255(tmp_path):
    flat = Geometry((1, 30, 30))
    mask = np.zeros(flat.shape, dtype=np.uint8)
    mask[:, 5:20, 5:20] = 1
    for folder, value in (("pred", 255), ("labels", 1)):
        (tmp_path / folder).mkdir()
        write_labels(tmp_path / folder / "a.png", mask * value, flat)
    (tmp_path / "labels" / "dataset.json").write_text(
        json.dumps(DECLARED | {"labels": {"background": 0, "organ": 1}})
    )
    places = {"predictions": tmp_path / "pred", "references": tmp_path / "labels"}
    with pytest.raises(DataError, match=r"value 255 in 225 voxels.*--label-map 255:1"):
        evaluate(**places)
    summary = evaluate(**places, prediction_map={255: 1})
    assert summary.mean["organ"]["dice"].mean == 1
    assert summary.header["label_maps"] == {"predictions": {255: 1}}


def test_an_extra_prediction_is_only_warned_of(folders, caplog):
    write_labels(folders[0] / "zz.nii.gz", LABELS, GRID)
    evaluate(predictions=folders[0], references=folders[1])
    assert "1 predictions have no reference: zz" in caplog.text


def test_an_extra_prediction_is_named_also_where_others_are_at_fault(folders, caplog):
    write_labels(folders[0] / "zz.nii.gz", LABELS, GRID)
    (folders[0] / "good.nii.gz").unlink()
    write_labels(references := folders[1] / "better.nii.gz", LABELS, GRID)
    write_labels(folders[0] / references.name, LABELS, GRID)
    with pytest.raises(DataError, match="good: no prediction"):
        evaluate(predictions=folders[0], references=folders[1])
    assert "1 predictions have no reference: zz" in caplog.text


def test_label_maps_are_judged_without_names_of_channels(folders):
    path = folders[1] / "dataset.json"
    record = json.loads(path.read_text())
    del record["channel_names"]
    path.write_text(json.dumps(record))
    summary = evaluate(predictions=folders[0], references=folders[1])
    assert summary.header["targets_source"] == "dataset.json"


@pytest.mark.parametrize("name", ["score_pair", "npz_rows"])
def test_a_crash_on_one_case_keeps_the_others_and_exits_5(folders, monkeypatch, name):
    predictions, references = folders
    write_labels(references / "worse.nii.gz", LABELS, GRID)
    write_labels(predictions / "worse.nii.gz", LABELS, GRID)
    export = predictions / "npz"
    place = verb if name == "score_pair" else evaluate_extras
    honest = getattr(place, name)

    def crash(pair, **settings):
        if pair.id == "worse":
            raise RuntimeError("the disk came loose")
        return honest(pair, **settings)

    monkeypatch.setattr(place, name, crash)
    extras = Extras(export_npz=export, nnunet_summary=True, compat=("pooled",))
    with pytest.raises(PartlyDone, match=r"worse.*the disk came loose") as caught:
        evaluate(predictions=predictions, references=references, extras=extras)
    assert caught.value.exit_code == 5
    record = json.loads((predictions / "summary.json").read_text())
    scored = ["good"] if name == "score_pair" else ["good", "worse"]
    assert [case["case"] for case in record["metric_per_case"]] == scored
    complete = name == "npz_rows"  # else there is no mean of any kind
    assert bool(record["mean"]) == complete
    assert ("compat" in record["header"]) == complete
    assert (predictions / "nnunet_summary.json").exists() == complete
    with np.load(export / "3d_dice.npz", allow_pickle=False) as stored:
        assert list(stored) == ["good"]


def test_a_crash_while_slices_are_counted_costs_only_their_numbers(folders, monkeypatch, caplog):
    def crash(pair, **settings):
        raise RuntimeError("the disk came loose")

    monkeypatch.setattr(evaluate_extras, "slice_sums", crash)
    extras = Extras(compat=("pooled", "empty-is-one"))
    summary = evaluate(predictions=folders[0], references=folders[1], extras=extras)
    assert list(summary.header["compat"]) == ["pooled"]
    assert "no numbers of slices, they could not be counted (good: the disk" in caplog.text


def test_a_crash_while_values_are_read_keeps_the_others(folders, monkeypatch):
    from autoseg.workflows import evaluate_inputs

    predictions, references = folders
    (references / "dataset.json").unlink()
    for folder in folders:
        write_labels(folder / "worse.nii.gz", LABELS, GRID)
    honest = evaluate_inputs.inspect_pair

    def crash(pair, **settings):
        if pair.id == "worse":
            raise RuntimeError("the disk came loose")
        return honest(pair, **settings)

    monkeypatch.setattr(evaluate_inputs, "inspect_pair", crash)
    with pytest.raises(PartlyDone, match="worse: the disk came loose"):
        evaluate(predictions=predictions, references=references)
    record = json.loads((predictions / "summary.json").read_text())
    assert list(record["failed"]) == ["worse"]
    assert record["mean"] == {}


def refuse_constant(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def test_not_a_number_is_never_in_a_json(folders):
    predictions, references = folders
    nothing = np.zeros_like(LABELS)
    for name, ours, theirs in [
        ("both", nothing, nothing),
        ("miss", LABELS, nothing),
        ("false", nothing, LABELS),
    ]:
        write_labels(references / f"{name}.nii.gz", ours, GRID)
        write_labels(predictions / f"{name}.nii.gz", theirs, GRID)
    evaluate(predictions=predictions, references=references, extras=Extras(nnunet_summary=True))
    for name in ("summary.json", "nnunet_summary.json"):
        record = json.loads((predictions / name).read_text(), parse_constant=refuse_constant)
        assert record["foreground_mean"]
    dice = {
        case["prediction_file"][-11:-7]: case["metrics"]["1"]["Dice"]
        for case in record["metric_per_case"]
    }
    assert dice == {"both": None, "alse": 0, "good": 1, "miss": 0}


def test_the_evaluation_of_other_folders_is_not_overwritten(folders, tmp_path):
    predictions, references = folders
    output = tmp_path / "scores"
    evaluate(predictions=predictions, references=references, output=output)
    evaluate(predictions=predictions, references=references, output=output)  # its own: replaced
    before = (output / "summary.json").read_bytes()
    with pytest.raises(UsageError, match=f"is the evaluation of {predictions} against") as caught:
        evaluate(predictions=references, references=references, output=output)
    assert caught.value.exit_code == 2
    assert (output / "summary.json").read_bytes() == before
    evaluate(predictions=references, references=references, output=output, overwrite=True)
    assert (output / "summary.json").read_bytes() != before


def test_a_summary_of_training_or_of_another_program_is_not_overwritten(folders):
    predictions, references = folders
    for text in ('{"foreground_mean": {}}', '{"header": {"mode": "surfel"}}', "no JSON"):
        (predictions / "summary.json").write_text(text)
        with pytest.raises(UsageError, match="was written by something else"):
            evaluate(predictions=predictions, references=references)
        assert (predictions / "summary.json").read_text() == text


def test_an_export_of_other_folders_is_not_overwritten(folders, tmp_path):
    predictions, references = folders
    extras = Extras(export_npz=tmp_path / "npz")
    evaluate(predictions=predictions, references=references, extras=extras)
    evaluate(predictions=predictions, references=references, extras=extras)
    with pytest.raises(
        UsageError, match=r"holds 3d_hd.npz of another|holds 3d_dice.npz of another"
    ):
        evaluate(
            predictions=references, references=references, output=tmp_path / "o", extras=extras
        )
