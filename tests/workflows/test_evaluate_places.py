"""Where label maps come from and what counts: patterns, names, targets, presets, maps, extras."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from autoseg import cli
from autoseg.errors import DataError, UsageError
from autoseg.evaluation.tables import read_summary
from autoseg.evaluation.targets import PRESETS
from autoseg.image import Geometry
from autoseg.io import write_labels
from autoseg.labels import Labels
from autoseg.workflows.evaluate import evaluate
from autoseg.workflows.evaluate_extras import Extras

GRID = Geometry((6, 9, 10), (3.0, 1.0, 1.0))
LABELS = np.zeros(GRID.shape, dtype=np.uint8)
LABELS[2:5, 2:7, 1:6] = 1
LABELS[3:5, 3:6, 3:5] = 2


def write(path: Path, label_map: np.ndarray = LABELS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_labels(path, label_map, GRID)
    return path


@pytest.fixture
def kits(tmp_path: Path) -> Path:
    """References in a folder a case; predictions beside each other, one voxel off."""
    for name in ("case_00004", "case_00013"):
        write(tmp_path / "data" / name / "segmentation.nii.gz")
        write(tmp_path / "pred" / f"prediction_{name}.nii.gz", np.roll(LABELS, 1, 2))
    return tmp_path


def test_patterns_find_cases_in_folders_of_their_own(kits):
    summary = evaluate(
        predictions=kits / "pred" / "prediction_{case}.nii.gz",
        references=kits / "data" / "{case}" / "segmentation.nii.gz",
        targets=Labels({"kidney": (1, 2), "tumour": (2,)}),
    )
    assert [case.case for case in summary.cases] == ["case_00004", "case_00013"]
    assert summary.mean["kidney"]["dice"].mean == pytest.approx(0.8)
    assert summary.header["targets"] == {"kidney": [1, 2], "tumour": [2]}
    assert summary.header["targets_source"] == "argument"
    assert (kits / "pred" / "summary.json").is_file()


def test_a_folder_of_folders_is_answered_with_the_pattern(kits):
    with pytest.raises(UsageError, match=r"write '.*data/\{case\}/segmentation.nii.gz'"):
        evaluate(predictions=kits / "pred", references=kits / "data")


def test_two_files_of_one_case_are_a_problem_of_the_pattern(kits):
    write(kits / "more" / "case_00004" / "segmentation.nii.gz")
    with pytest.raises(DataError, match=r"case_00004.*the same case as .*narrow the pattern"):
        evaluate(
            predictions=kits / "pred" / "prediction_{case}.nii.gz",
            references=kits / "*" / "{case}" / "segmentation.nii.gz",
        )


def test_the_command_line_says_everything(kits, capsys):
    words = [
        "evaluate", "-p", f"{kits}/pred/prediction_{{case}}.nii.gz",
        "-g", f"{kits}/data/{{case}}/segmentation.nii.gz", "-o", f"{kits}/out",
        "--targets", "kidney=1,2", "tumour=2", "--nsd-tolerance", "tumour=0.5", "kidney=1",
        "--compat", "pooled", "empty-is-one", "--both-empty", "one", "--nnunet-summary",
        "--cases", "case_00013",
    ]  # fmt: skip
    assert cli.main(words) == 0
    table = capsys.readouterr().out
    assert "kidney" in table
    assert "--compat pooled, not the standard definition" in table
    assert "--both-empty one" in table
    header = read_summary(kits / "out" / "summary.json").header
    assert header["both_empty"] == "one"
    assert header["nsd_tolerance_mm"] == {"kidney": 1, "tumour": 0.5}
    assert header["compat"]["pooled"]["dice"]["kidney"] == pytest.approx(0.8)
    assert (kits / "out" / "nnunet_summary.json").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--targets", "kidney"], "target 'kidney', expected each name once, as kidney=1,2"),
        (["--label-map", "255"], "--label-map 255, expected FROM:TO, such as 255:1"),
        (["--reference-map", "a:b"], "--reference-map a:b, expected FROM:TO"),
        (["--preset", "kits91"], "unknown preset 'kits91' -> did you mean 'kits19'?"),
        (["--compat", "pool"], "unknown mode 'pool' -> did you mean 'pooled'?"),
        (["--preset", "kits19", "--targets", "a=1"], "preset 'kits19' has targets of its own"),
        (["--preset", "kits19", "--export-npz", "npz"], "--export-npz: 'kidney' is a region"),
    ],
)
def test_words_that_mean_nothing_are_usage_errors(kits, capsys, words, told):
    write(kits / "g.nii.gz")
    given = ["evaluate", "-p", f"{kits}/g.nii.gz", "-g", f"{kits}/g.nii.gz", *words]
    assert cli.main(given) == 2
    assert told in capsys.readouterr().err
    assert not (kits / "summary.json").exists()


def test_presets_bring_targets_and_tolerances(kits):
    one = write(kits / "g.nii.gz")
    summary = evaluate(predictions=one, references=one, preset="kits23")
    assert list(summary.mean) == ["kidney_and_masses", "masses", "tumour"]
    assert summary.header["nsd_tolerance_mm"]["masses"] == pytest.approx(1.1329, abs=5e-5)
    assert summary.header["targets_source"] == "preset kits23"
    summary = evaluate(
        predictions=one, references=one, preset="kits23", nsd_tolerance={"tumour": 9}
    )
    assert summary.header["nsd_tolerance_mm"] == {**PRESETS["kits23"].tolerances_mm, "tumour": 9}
    summary = evaluate(predictions=one, references=one, preset="totalseg")
    assert summary.header["nsd_tolerance_mm"] == {"1": 3.0, "2": 3.0}


def test_values_can_be_exchanged_and_left_out_on_either_side(tmp_path):
    reference = write(tmp_path / "g.nii.gz", np.where(LABELS == 1, 300, LABELS.astype(np.int16)))
    prediction = write(tmp_path / "p.nii.gz", np.asarray([0, 2, 1], np.uint8)[LABELS])
    summary = evaluate(
        predictions=prediction,
        references=reference,
        prediction_map={1: 2, 2: 1},
        reference_map={300: 1},
        targets=Labels({"a": (1,), "b": (2,)}),
    )
    assert [mean["dice"].mean for mean in summary.mean.values()] == [1, 1]
    summary = evaluate(
        predictions=prediction,
        references=reference,
        prediction_map={2: 0},
        reference_map={300: 0, 2: 1},
    )
    assert list(summary.mean) == ["1"]
    assert summary.mean["1"]["dice"].mean == 1


def test_names_agree_however_their_accents_are_written(tmp_path):
    for folder, form in (("p", "NFD"), ("g", "NFC")):
        write(tmp_path / folder / (unicodedata.normalize(form, "Müller é") + ".NII.GZ"))
    summary = evaluate(predictions=tmp_path / "p", references=tmp_path / "g")
    assert [case.case for case in summary.cases] == [unicodedata.normalize("NFC", "Müller é")]


def test_targets_of_the_command_line_keep_patients_tags_and_what_is_annotated(tmp_path):
    for folder in ("p", "g"):
        for name in ("a", "b"):
            write(tmp_path / folder / f"{name}.nii.gz")
    cases = {"a": {"group": "patient 1", "tags": ["site"], "annotated": ["organ"]}}
    declared = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "organ": 1, "lesion": 2}}
    declared |= {"cases": cases, "nsd_tolerance_mm": {"organ": 0.7, "lesion": 0.6}}
    (tmp_path / "g" / "dataset.json").write_text(json.dumps(declared))
    summary = evaluate(
        predictions=tmp_path / "p",
        references=tmp_path / "g",
        targets=Labels({"whole": (1, 2), "organ": (1,)}),
    )
    assert summary.header["nsd_tolerance_mm"] == {"whole": 2.0, "organ": 0.7}
    first, second = summary.cases
    assert (first.group, first.tags, second.group) == ("patient 1", ("site",), None)
    assert first.metrics["whole"]["dice"].status == "skipped"  # its lesion was not drawn
    assert first.metrics["organ"]["dice"].value == 1
    assert second.metrics["whole"]["dice"].value == 1


def test_both_empty_as_one_enters_the_mean(tmp_path):
    for folder in ("p", "g"):
        write(tmp_path / folder / "a.nii.gz")
        write(tmp_path / folder / "b.nii.gz", np.where(LABELS == 1, LABELS, 0))
    write(tmp_path / "p" / "a.nii.gz", np.where(LABELS == 1, LABELS, 0))
    places = {"predictions": tmp_path / "p", "references": tmp_path / "g"}
    assert evaluate(**places).mean["2"]["dice"].mean == 0
    assert evaluate(**places, extras=Extras("one")).mean["2"]["dice"].mean == 0.5


def test_a_missing_prediction_is_nothing_in_the_export(tmp_path):
    from autoseg.errors import PartlyDone

    for name in ("a", "b"):
        write(tmp_path / "g" / f"{name}.nii.gz")
    write(tmp_path / "p" / "a.mha")
    extras = Extras(export_npz=tmp_path / "npz", compat=("empty-is-one",))
    with pytest.raises(PartlyDone):
        evaluate(
            predictions=tmp_path / "p", references=tmp_path / "g", allow_missing=True, extras=extras
        )
    with np.load(tmp_path / "npz" / "3d_dice.npz", allow_pickle=False) as stored:
        assert list(stored) == ["a", "b"]
        np.testing.assert_array_equal(stored["a"], [1, 1, 1])
        np.testing.assert_array_equal(stored["b"][1:], [0, 0])


def test_the_hash_of_the_inputs_follows_their_bytes_not_their_place(tmp_path):
    for root in ("one", "other"):
        for folder in ("p", "g"):
            write(tmp_path / root / folder / "a.nii.gz")

    def hash_of(root: str) -> str:
        folder = tmp_path / root
        summary = evaluate(predictions=folder / "p", references=folder / "g")
        return summary.header["inputs_sha256"]

    assert hash_of("one") == hash_of("other")
    write(tmp_path / "one" / "p" / "a.nii.gz", np.roll(LABELS, 1, 0))
    assert hash_of("one") != hash_of("other")
