"""The verb `plan` on tiny scans: complete, resumable, respects edits, honest about bad data."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from autoseg import nifti
from autoseg.dataset import find_dataset
from autoseg.errors import DataError, LockedError, UsageError
from autoseg.files import read_json, write_json
from autoseg.image import Geometry, Image
from autoseg.io import write_image, write_labels
from autoseg.locks import locked
from autoseg.plan_file import load_plan
from autoseg.planning.folds import load_folds
from autoseg.preprocessing.manifest import read_manifest
from autoseg.preprocessing.native import read_native
from autoseg.preprocessing.store import open_prepared
from autoseg.workflows import resources
from autoseg.workflows.measure import measure_dataset
from autoseg.workflows.plan import plan
from autoseg.workspace import Workspace
from tests.synthetic import small_phantom

ROOT = Path(__file__).resolve().parents[2]
HIPPOCAMPUS = ROOT.parent / "shared" / "data" / "hippocampus"


def write_case(folder, case, seed, shape=(12, 16, 14), spacing=(2.0, 1.0, 1.0)):
    rng = np.random.default_rng(seed)
    array = rng.normal(100, 10, (1, *shape)).astype(np.float32)
    label_map = np.zeros(shape, np.uint8)
    label_map[3:8, 4:10, 4:9] = 1
    label_map[5:7, 5:8, 5:7] = 2
    array[0] += 30 * label_map
    geometry = Geometry(shape, spacing)
    write_image(folder / "imagesTr" / f"{case}.nii.gz", Image(array, geometry))
    write_labels(folder / "labelsTr" / f"{case}.nii.gz", label_map, geometry)


@pytest.fixture
def workspace(tmp_path):
    folder = tmp_path / "raw" / "TINY"
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    for i in range(6):
        write_case(folder, f"scan_{i}", i)
    description = {
        "channel_names": {"0": "MR"},
        "labels": {"background": 0, "organ": 1, "tumour": 2},
        "numTraining": 6,
        "file_ending": ".nii.gz",
    }
    write_json(folder / "dataset.json", description)
    return Workspace(tmp_path)


def bytes_of(folder, but=()):
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in but)
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths if p.name[0] != "."}


def times_of(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*.npz")}


def test_everything_training_needs_is_there(workspace):
    made = plan(workspace, "TINY", workers=0)
    folder = workspace.prepared("TINY")
    assert load_plan(workspace.plan("TINY")) == made
    assert len(load_folds(workspace.folds("TINY"))) == 5
    assert read_json(folder / "check.json")["problems"] == []
    assert read_json(folder / "fingerprint.json")["cases"] == [f"scan_{i}" for i in range(6)]
    for name in ("2d", "3d_fullres"):
        assert len(read_manifest(folder / name).cases) == 6
        case = open_prepared(folder / name, "scan_3")
        assert case.image.shape == (1, 12, 16, 14)
        assert len(case.foreground[1]) == 2 * 3 * 2
    assert np.count_nonzero(read_native(folder, "scan_3") == 2) == 12
    assert any(reason.startswith("Folds: 5 of 6 cases") for reason in made.reasons)
    assert made.usual.cases == 6
    assert "scan_3" not in workspace.plan("TINY").read_text(encoding="utf-8")  # it can be mailed


def test_each_channel_gets_the_normaliser_that_its_histograms_ask_for(workspace):
    raw = workspace.raw("TINY")
    for i in range(6):
        ct, label_map = small_phantom(i)
        rng = np.random.default_rng(i)
        uptake = rng.exponential(0.5, ct.array.shape) + 5 * (label_map == 1)
        write_image(raw / "imagesTr" / f"scan_{i}_0000.nii.gz", ct)
        name = f"scan_{i}_0001.nii.gz"
        write_image(raw / "imagesTr" / name, Image(uptake.astype(np.float32), ct.geometry))
        write_labels(raw / "labelsTr" / f"scan_{i}.nii.gz", label_map // 2, ct.geometry)
        (raw / "imagesTr" / f"scan_{i}.nii.gz").unlink()
    declared = read_json(raw / "dataset.json")
    declared["channel_names"] = {"0": "portal venous", "1": "PET"}
    write_json(raw / "dataset.json", declared)
    made = plan(workspace, "TINY", settings=["2d.normalizers=zscore,none"], workers=0)
    assert made.configurations["3d_fullres"].normalizers == ("ct", "zscore")
    assert made.configurations["2d"].normalizers == ("zscore", "none")
    image = open_prepared(workspace.prepared("TINY") / "3d_fullres", "scan_0").image
    assert abs(float(image[1].mean())) < 0.01
    assert float(image[0].min()) == pytest.approx(
        (made.intensities[0].p0_5 - made.intensities[0].mean) / made.intensities[0].std, abs=0.01
    )


def test_a_second_run_does_nothing_and_says_so(workspace, caplog):
    made = plan(workspace, "TINY", workers=0)
    before, times = bytes_of(workspace.root), times_of(workspace.root)
    with caplog.at_level(logging.INFO, "autoseg"):
        assert plan(workspace, None, workers=0) == made
    assert "nothing to do" in caplog.text
    assert bytes_of(workspace.root) == before
    assert times_of(workspace.root) == times


def test_a_killed_run_is_continued_to_the_same_bytes(workspace):
    plan(workspace, "TINY", workers=0)
    folder = workspace.prepared("TINY")
    undisturbed = bytes_of(folder)
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + (
        "import time; from pathlib import Path\n"
        "from autoseg.workflows import prepare\n"
        "from autoseg.workflows.plan import plan; from autoseg.workspace import Workspace\n"
        "slow = prepare.write_prepared\n"
        "prepare.write_prepared = lambda *a, **k: (slow(*a, **k), time.sleep(0.2))\n"
        f"plan(Workspace(Path({str(workspace.root)!r})), 'TINY', workers=0)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while len(list(folder.glob("*/scan_1.json"))) < 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "3d_fullres" / "manifest.json").exists()
    kept = times_of(folder)
    assert kept
    plan(workspace, "TINY", workers=0)
    assert bytes_of(folder) == undisturbed
    finished = [path for path in kept if path.parent.name != "labels"][:1]
    assert all(times_of(folder)[path] == kept[path] for path in finished)


def test_two_processes_give_the_same_bytes(workspace):
    plan(workspace, "TINY", workers=0)
    folder = workspace.prepared("TINY")
    serial = bytes_of(folder)
    for path in folder.rglob("*.json"):
        path.unlink()
    plan(workspace, "TINY", workers=2)
    assert bytes_of(folder) == serial


@pytest.mark.parametrize(("memory", "times"), [(1 << 30, 1), (1000, 2)])
def test_large_files_are_decoded_once_if_memory_allows(workspace, monkeypatch, memory, times):
    plan(workspace, "TINY", workers=0)
    expected = digests(workspace.prepared("TINY"))
    shutil.rmtree(workspace.prepared("TINY"))
    read = Counter()
    monkeypatch.setattr(nifti, "_inflate", counting(nifti._inflate, read))
    monkeypatch.setattr(resources, "PAYS_FROM", 1)
    monkeypatch.setattr(resources, "available_bytes", lambda: memory)
    plan(workspace, "TINY", workers=0)
    assert set(read.values()) == {times}
    assert len(read) == 12
    assert not (workspace.prepared("TINY") / "decoded").exists()
    assert digests(workspace.prepared("TINY")) == expected


def counting(inflate, read):
    def counted(packed, header, path):
        read[path] += 1
        return inflate(packed, header, path)

    return counted


def digests(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.npz"))}


def test_all_problems_of_all_files_are_listed_and_nothing_is_planned(workspace):
    raw = workspace.raw("TINY")
    write_labels(raw / "labelsTr/scan_1.nii.gz", np.full((12, 16, 14), 7, np.uint8),
                 Geometry((12, 16, 14), (2.0, 1.0, 1.0)))  # fmt: skip
    image = raw / "imagesTr/scan_2.nii.gz"
    image.write_bytes(image.read_bytes()[:200])
    (raw / "labelsTr/scan_4.nii.gz").unlink()
    with pytest.raises(DataError) as caught:
        plan(workspace, "TINY", workers=0)
    places = {problem.place for problem in caught.value.problems}
    assert {"labelsTr/scan_1.nii.gz", "imagesTr/scan_2.nii.gz"} <= places
    assert any("scan_4" in str(problem) for problem in caught.value.problems)
    assert caught.value.exit_code == 3
    folder = workspace.prepared("TINY")
    assert len(read_json(folder / "check.json")["problems"]) == len(caught.value.problems)
    assert not (folder / "plan.json").exists()


def test_changed_data_are_measured_and_prepared_anew(workspace):
    plan(workspace, "TINY", workers=0)
    folder, times = workspace.prepared("TINY"), times_of(workspace.root)
    write_case(workspace.raw("TINY"), "scan_2", 77)
    made = plan(workspace, "TINY", workers=0)
    assert not (folder / "plan.before.json").exists()  # nobody had edited anything
    after = times_of(workspace.root)
    assert after[folder / "3d_fullres" / "scan_2.npz"] != times[folder / "3d_fullres/scan_2.npz"]
    # z-score depends on nothing but the scan, yet the statistics in the plan did change
    assert read_manifest(folder / "2d").cases.keys() == {f"scan_{i}" for i in range(6)}
    assert load_plan(workspace.plan("TINY")) == made


def test_killed_between_measuring_and_planning_it_is_planned_by_the_new_measures(workspace):
    plan(workspace, "TINY", workers=0)
    write_case(workspace.raw("TINY"), "scan_2", 77)
    folder = workspace.prepared("TINY")
    measure_dataset(folder, find_dataset(workspace.raw("TINY")), 0)
    write_case(workspace.raw("TINY"), "scan_6", 6)
    measure_dataset(folder, find_dataset(workspace.raw("TINY")), 0)
    made = plan(workspace, "TINY", workers=0)
    assert "scan_6" in (folder / "folds.json").read_text()
    (folder / "plan.json").unlink()
    assert plan(workspace, "TINY", workers=0) == made


@pytest.mark.parametrize("file", ["plan.json", "folds.json"])
@pytest.mark.parametrize("slip", [("{", "{{"), ("[", "[null, ")])
def test_a_slip_of_the_hand_in_a_file_is_an_error_of_the_data(workspace, file, slip):
    plan(workspace, "TINY", workers=0)
    path = workspace.prepared("TINY") / file
    path.write_text(path.read_text().replace(*slip, 1))
    with pytest.raises(DataError, match=rf"{file}.*-> correct it, or remove {file}") as caught:
        plan(workspace, "TINY", workers=0)
    assert caught.value.exit_code == 3


def test_an_edit_is_kept_when_settings_are_added(workspace):
    plan(workspace, "TINY", workers=0)
    path = workspace.plan("TINY")
    edited = json.loads(path.read_text())
    edited["configurations"]["3d_fullres"]["sizes"]["S"]["batch_size"] = 3
    path.write_text(json.dumps(edited))
    plan(workspace, "TINY", settings=["3d_fullres.M.batch_size=5"], workers=0)
    made = plan(workspace, "TINY", workers=0)
    sizes = made.configurations["3d_fullres"].sizes
    assert (sizes["S"].batch_size, sizes["M"].batch_size) == (3, 5)


def test_a_removed_case_leaves_no_trace(workspace):
    plan(workspace, "TINY", workers=0)
    raw = workspace.raw("TINY")
    (raw / "imagesTr/scan_5.nii.gz").unlink()
    (raw / "labelsTr/scan_5.nii.gz").unlink()
    plan(workspace, "TINY", workers=0)
    assert not list(workspace.prepared("TINY").rglob("scan_5*"))
    assert "scan_5" not in read_manifest(workspace.prepared("TINY") / "2d").cases


def test_a_plan_edited_by_hand_is_kept_while_the_data_stay_the_same(workspace, caplog):
    plan(workspace, "TINY", workers=0)
    path = workspace.plan("TINY")
    edited = json.loads(path.read_text())
    edited["configurations"]["3d_fullres"]["sizes"]["S"]["batch_size"] = 3
    edited["configurations"]["3d_fullres"]["normalizers"] = ["none"]
    path.write_text(json.dumps(edited))
    with caplog.at_level(logging.INFO, "autoseg"):
        made = plan(workspace, "TINY", workers=0)
    assert "edited by hand and is kept" in caplog.text
    assert made.configurations["3d_fullres"].sizes["S"].batch_size == 3
    image = open_prepared(workspace.prepared("TINY") / "3d_fullres", "scan_0").image
    assert image.astype(float).mean() > 50  # prepared anew, not normalised
    write_case(workspace.raw("TINY"), "scan_2", 77)
    made = plan(workspace, "TINY", workers=0)
    assert made.configurations["3d_fullres"].normalizers == ("zscore",)
    assert load_plan(workspace.prepared("TINY") / "plan.before.json").overrides == ()
    assert "the data changed" in caplog.text


def test_settings_are_recorded_and_stay(workspace):
    plan(workspace, "TINY", workers=0)
    times = times_of(workspace.root)
    setting = "3d_fullres.S.batch_size=3"
    assert plan(workspace, "TINY", settings=[setting], workers=0).overrides == (setting,)
    assert times_of(workspace.root) == times  # a batch does not shape prepared arrays
    made = plan(workspace, "TINY", workers=0)
    assert made.overrides == (setting,)
    assert made.configurations["3d_fullres"].sizes["S"].batch_size == 3
    assert made.reasons[-1] == f"Set by hand: {setting}."
    assert plan(workspace, "TINY", workers=0, memory_gb=16).overrides == (setting,)
    assert "16GB" in plan(workspace, "TINY", workers=0).configurations["2d"].sizes


def test_folds_edited_by_hand_are_kept(workspace):
    plan(workspace, "TINY", workers=0)
    path = workspace.folds("TINY")
    table = read_json(path)
    table["folds"] = table["folds"][:2]
    path.write_text(json.dumps(table))
    made = plan(workspace, "TINY", workers=0)
    assert len(load_folds(path)) == 2
    assert "Folds: 2, as folds.json has them (edited by hand)." in made.reasons


def test_folds_are_made_anew_for_other_cases_and_kept_aside_only_when_edited(workspace):
    plan(workspace, "TINY", workers=0)
    path = workspace.folds("TINY")
    write_case(workspace.raw("TINY"), "scan_6", 6)
    plan(workspace, "TINY", workers=0)
    assert "scan_6" in path.read_text()
    assert not path.with_name("folds.before.json").exists()
    table = json.loads(path.read_text())
    path.write_text(json.dumps({**table, "folds": table["folds"][:2]}))
    write_case(workspace.raw("TINY"), "scan_7", 7)
    plan(workspace, "TINY", workers=0)
    assert "scan_7" in path.read_text()
    assert len(load_folds(path.with_name("folds.before.json"))) == 2


def test_nnunets_splits_that_lie_with_the_data_are_used_and_that_is_said(workspace, caplog):
    plan(workspace, "TINY", workers=0, prepare=False)
    before = load_folds(workspace.folds("TINY"))
    ids = sorted({c for fold in before for c in (*fold.train, *fold.validation)})
    splits = [{"train": ids[1:], "val": ids[:1]}, {"train": ids[:1], "val": ids[1:]}]
    path = workspace.raw("TINY") / "splits_final.json"
    path.write_text(json.dumps(splits))
    made = plan(workspace, "TINY", workers=0, prepare=False)
    assert "Folds: 2, from splits_final.json, which lies with the data." in made.reasons
    assert [list(fold.validation) for fold in load_folds(workspace.folds("TINY"))] == [
        ids[:1], ids[1:],
    ]  # fmt: skip
    assert "the former ones are kept as" in caplog.text
    assert load_folds(workspace.prepared("TINY") / "folds.before.json") == before
    times = times_of(workspace.root)
    assert plan(workspace, "TINY", workers=0, prepare=False).reasons == made.reasons
    assert times_of(workspace.root) == times
    path.write_text(json.dumps([{"train": ids, "val": ids}]))
    with pytest.raises(DataError, match=f"trains and validates on '{ids[0]}'"):
        plan(workspace, "TINY", workers=0)


def test_given_folds_go_before_everything_and_stay(workspace, tmp_path, caplog):
    plan(workspace, "TINY", workers=0, prepare=False)
    ids = sorted(load_folds(workspace.folds("TINY"))[0].train)[:3]
    table = tmp_path / "mine.csv"
    table.write_text("case,fold\n" + "".join(f"{case},{i % 2}\n" for i, case in enumerate(ids)))
    splits = [{"train": ids[1:], "val": ids[:1]}]
    (workspace.raw("TINY") / "splits_final.json").write_text(json.dumps(splits))
    made = plan(workspace, "TINY", workers=0, prepare=False, folds=table)
    assert "Folds: 2, from mine.csv, as given." in made.reasons
    assert "cases are in no fold" in caplog.text
    made = plan(workspace, "TINY", workers=0, prepare=False)
    assert "Folds: 2, as folds.json has them (from --folds mine.csv)." in made.reasons
    assert len(load_folds(workspace.folds("TINY"))) == 2
    with pytest.raises(UsageError, match="--folds: file not found"):
        plan(workspace, "TINY", workers=0, folds=tmp_path / "none.csv")


def tag_scans(workspace, tags):
    path = workspace.raw("TINY") / "dataset.json"
    entries = {f"scan_{i}": {"tags": [tag]} for i, tag in enumerate(tags)}
    write_json(path, read_json(path) | {"cases": entries})


def test_controls_stay_out_of_validation_until_something_else_is_asked_for(workspace, caplog):
    caplog.set_level("INFO")
    path = workspace.folds("TINY")
    tag_scans(workspace, ["control", "patient", "patient", "patient", "patient", "control"])
    by_rule = {"workers": 0, "prepare": False}
    plan(workspace, "TINY", **by_rule, folds=2, validation_tags=["patient"])
    assert [len(fold.validation) for fold in load_folds(path)] == [2, 2]
    assert all({"scan_0", "scan_5"} <= set(fold.train) for fold in load_folds(path))
    assert read_json(path)["rule"] == {"count": 2, "validation_tags": ["patient"]}
    assert "fold  train  validate  control  patient\n0         4         2        0" in caplog.text
    former = load_folds(path)
    made = plan(workspace, "TINY", **by_rule)  # and so it stays
    assert load_folds(path) == former
    assert "2/2: patient only, 2 others are trained on in every fold." in made.reasons[-1]
    write_case(workspace.raw("TINY"), "scan_6", 6)
    tag_scans(workspace, ["control", "patient", "patient", "patient", "patient", "control"] * 2)
    plan(workspace, "TINY", **by_rule)  # also for other data
    assert sorted(len(fold.validation) for fold in load_folds(path)) == [2, 2]
    assert all("scan_6" in fold.train for fold in load_folds(path))
    plan(workspace, "TINY", **by_rule, validation_tags=[])  # still two
    assert sorted(len(fold.validation) for fold in load_folds(path)) == [3, 4]
    assert len(load_folds(path.with_name("folds.before.json"))) == 2


def test_a_rule_for_folds_that_cannot_be_meant_is_told_before_anything_is_read(workspace, tmp_path):
    tag_scans(workspace, ["control", "patient"] * 3)
    (tmp_path / "mine.csv").write_text("case,fold\n")
    for words, told in (
        ({"folds": 1}, "--folds 1, expected 2 or more, or a file"),
        ({"validation_tags": ["pateint"]}, "no case has the tag 'pateint' -> did you mean 'patie"),
        ({"folds": tmp_path / "mine.csv", "validation_tags": []}, "--folds FILE with --val-tags"),
    ):
        with pytest.raises(UsageError, match=told):
            plan(workspace, "TINY", workers=0, **words)
    assert not (workspace.prepared("TINY") / "fingerprint.json").exists()


def test_given_folds_are_checked_before_anything_is_read(workspace, tmp_path):
    path = tmp_path / "s.json"
    path.write_text('[{"train": ["nobody"], "val": []}]')
    with pytest.raises(DataError, match="2 problems in these folds"):
        plan(workspace, "TINY", workers=0, folds=path)
    assert not (workspace.prepared("TINY") / "fingerprint.json").exists()


def test_folds_edited_by_hand_so_that_they_cannot_be_trained_on_are_refused(workspace):
    plan(workspace, "TINY", workers=0, prepare=False)
    path = workspace.folds("TINY")
    table = read_json(path)
    table["folds"][0]["validation"] = []
    path.write_text(json.dumps(table))
    with pytest.raises(DataError, match="fold 0: has no validation cases"):
        plan(workspace, "TINY", workers=0, prepare=False)


def test_the_plan_of_another_data_set_is_taken_over_and_followed(workspace, caplog):
    caplog.set_level("INFO", "autoseg")
    setting = "3d_fullres.spacing=3,3,3"
    other = plan(workspace, "TINY", settings=[setting], workers=0, prepare=False)
    (workspace.raw("TINY")).rename(workspace.raw("OTHER"))
    made = plan(workspace, "OTHER", plan_from=workspace.prepared("TINY"), workers=0)
    ours, theirs = made.configurations["3d_fullres"], other.configurations["3d_fullres"]
    assert made.dataset == "OTHER"
    assert (ours.spacing, ours.sizes) == (theirs.spacing, theirs.sizes)
    assert made.intensities == other.intensities
    assert any(r.startswith("Plan taken over from TINY (") for r in made.reasons)
    times = times_of(workspace.root)
    assert plan(workspace, "OTHER", workers=0).reasons == made.reasons
    assert times_of(workspace.root) == times
    write_case(workspace.raw("OTHER"), "scan_9", 9)
    followed = plan(workspace, "OTHER", workers=0, prepare=False)
    assert followed.configurations["3d_fullres"].spacing == (3, 3, 3)
    (workspace.prepared("OTHER") / "plan_from.json").unlink()
    anew = plan(workspace, "OTHER", workers=0, prepare=False)
    assert anew.configurations["3d_fullres"].spacing != (3, 3, 3)


def test_a_plan_edited_by_hand_is_kept_aside_when_another_is_taken_over(workspace, caplog):
    plan(workspace, "TINY", workers=0, prepare=False)
    path = workspace.plan("TINY")
    other = path.with_name("other.json")
    other.write_bytes(path.read_bytes())
    path.write_text(path.read_text().replace('"batch_dice": false', '"batch_dice": true'))
    plan(workspace, "TINY", workers=0, prepare=False, plan_from=other)
    assert "taken over from TINY" in caplog.text
    assert (workspace.prepared("TINY") / "plan.before.json").is_file()


def test_what_is_no_plan_is_said(workspace, tmp_path):
    with pytest.raises(UsageError, match="--plan-from: no plan here"):
        plan(workspace, "TINY", plan_from=tmp_path)
    (tmp_path / "plans.json").write_text("{}")
    for place in (tmp_path, tmp_path / "plans.json"):
        with pytest.raises(
            UsageError, match=r"these are nnU-Net's plans -> autoseg import --model"
        ):
            plan(workspace, "TINY", plan_from=place)
    plan(workspace, "TINY", workers=0, prepare=False)
    with pytest.raises(UsageError, match="--memory-gb and --plan-from"):
        plan(workspace, "TINY", plan_from=workspace.plan("TINY"), memory_gb=8)


def test_only_the_named_configurations_are_prepared(workspace):
    made = plan(workspace, "TINY", only=["2d"], workers=0)
    assert "3d_fullres" in made.configurations
    assert not (workspace.prepared("TINY") / "3d_fullres").exists()
    plan(workspace, "TINY", prepare=False, workers=0)
    assert not (workspace.prepared("TINY") / "3d_fullres").exists()


def test_flat_pictures_get_2d(tmp_path):
    folder = tmp_path / "raw" / "PNG"
    for sub in ("imagesTr", "labelsTr"):
        (folder / sub).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(3):
        array = rng.integers(1, 255, (1, 1, 40, 60)).astype(np.uint8)
        geometry = Geometry((1, 40, 60))
        write_image(folder / "imagesTr" / f"p{i}.png", Image(array, geometry))
        write_labels(folder / "labelsTr" / f"p{i}.png", (array[0] > 200).astype(np.uint8), geometry)
    labels = {"background": 0, "tumour": 1}
    write_json(folder / "dataset.json", {"channel_names": {"0": "PET"}, "labels": labels})
    made = plan(Workspace(tmp_path), "PNG", workers=0)
    assert list(made.configurations) == ["2d"]
    assert made.file_ending == ".png"
    prepared = open_prepared(tmp_path / "prepared" / "PNG" / "2d", "p0")
    assert prepared.image.shape == (1, 1, 40, 60)


def test_what_is_unknown_is_answered_before_the_data_are_read(workspace):
    with pytest.raises(UsageError, match="unknown dataset 'TYNI'"):
        plan(workspace, "TYNI")
    with pytest.raises(UsageError, match="--set 3d_fullres"):
        plan(workspace, "TINY", settings=["3d_fullres"])
    assert not workspace.plan("TINY").exists()
    with pytest.raises(UsageError, match="configuration '3d_fulres' is not planned"):
        plan(workspace, "TINY", only=["3d_fulres"], workers=0)


def test_two_plans_at_once_are_refused(workspace):
    with locked(workspace.prepared("TINY")), pytest.raises(LockedError, match="in use"):
        plan(workspace, "TINY", workers=0)


def test_planning_never_imports_torch():
    code = "import sys, autoseg.workflows.plan; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


@pytest.mark.skipif(not HIPPOCAMPUS.exists(), reason="the hippocampus scans are not there")
def test_real_scans_give_the_known_plan(tmp_path):
    folder = tmp_path / "raw" / "HIPPO"
    folder.mkdir(parents=True)
    for sub in ("imagesTr", "labelsTr"):
        (folder / sub).symlink_to(HIPPOCAMPUS / sub)
    labels = {"background": 0, "anterior": 1, "posterior": 2}
    write_json(folder / "dataset.json", {"channel_names": {"0": "MR"}, "labels": labels})
    made = plan(Workspace(tmp_path), "HIPPO", prepare=False, workers=0)
    volumes, slices = made.configurations["3d_fullres"].sizes, made.configurations["2d"].sizes
    assert (volumes["M"].patch_size, volumes["M"].batch_size) == ((40, 56, 40), 7)
    assert (volumes["S"].patch_size, volumes["S"].batch_size) == ((40, 56, 40), 2)
    assert (slices["M"].patch_size, slices["M"].batch_size) == ((1, 56, 40), 281)
    golden = json.loads((ROOT / "tests/golden/nnunet_plans.json").read_text())["hippocampus"]
    theirs, ours = golden["fingerprint"]["intensity"], made.intensities[0]
    assert ours.mean == pytest.approx(theirs["mean"], rel=0.01)
    assert ours.std == pytest.approx(theirs["std"], rel=0.01)
    assert ours.p0_5 == pytest.approx(theirs["percentile_00_5"], rel=0.02)
    assert ours.p99_5 == pytest.approx(theirs["percentile_99_5"], rel=0.02)
    measured = read_json(tmp_path / "prepared/HIPPO/fingerprint.json")
    assert measured["shapes"] == golden["fingerprint"]["shapes"]


def test_problems_of_incomplete_cases_stop_the_plan_at_once(workspace):
    raw = workspace.raw("TINY")
    (raw / "labelsTr" / "scan_2.nii.gz").unlink()
    (raw / "imagesTr" / "scan_2.nii.gz").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        plan(workspace, "TINY", workers=0)
    assert [problem.found for problem in caught.value.problems] == [
        "has no labels",
        "is empty (0 bytes)",
    ]


@pytest.mark.parametrize("memory_gb", [0, -3, float("nan"), float("inf")])
def test_memory_that_no_machine_has_is_refused(workspace, memory_gb):
    with pytest.raises(UsageError, match="expected a number above 0"):
        plan(workspace, "TINY", memory_gb=memory_gb)


def halve(array, stats, inside):
    return array / 2


def test_a_normaliser_of_the_users_own_prepares_the_data(workspace, monkeypatch):
    monkeypatch.setitem(sys.modules, "my_lab", sys.modules[__name__])
    plan(workspace, "TINY", workers=0, prepare=False)
    path = workspace.plan("TINY")
    text = read_json(path)
    text["configurations"]["3d_fullres"]["normalizers"] = ["my_lab:halve"]
    write_json(path, text)
    plan(workspace, "TINY", only=["3d_fullres"], workers=0)
    image = open_prepared(workspace.prepared("TINY") / "3d_fullres", "scan_0").image
    assert 40 < float(np.asarray(image, np.float32).mean()) < 70
