"""A real case with 104 structures: out as masks and as slices and back, measured, and fooled."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from autoseg.cli import main
from autoseg.dataset import load_dataset
from autoseg.files import read_json
from autoseg.io import read_image, read_labels, write_labels
from autoseg.workspace import Workspace

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "totalsegmentator"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the example is not in {DATA}")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("totalsegmentator")
    words = ["import", "-d", "TS", "--layout", "totalsegmentator", "--src", str(DATA)]
    assert main([*words, "-w", str(root)]) == 0
    return root


def the_case(root, name="TS"):
    (case,) = load_dataset(Workspace(root).raw(name)).cases
    return case


def bring_back(root, text, name, **known):
    words = shlex.split(text.split("back: autoseg ")[1])
    words = [known.get(word, name if word == "NAME" else word) for word in words]
    assert main([*words, "-w", str(root)]) == 0
    one, other = (read_labels(the_case(root, data).labels) for data in ("TS", name))
    assert np.array_equal(one.array, other.array)
    assert one.geometry == other.geometry


def test_masks_go_out_and_come_back(root, capsys):
    assert main(["export", "-d", "TS", "--masks", str(root / "masks"), "-w", str(root)]) == 0
    scans = f"{root}/raw/TS/imagesTr/{{case}}_0000.nii.gz"
    bring_back(root, capsys.readouterr().out, "MASKS", SCANS=scans, CHANNEL="CT")
    written = sorted((root / "masks" / "s0000").iterdir())
    assert [p.name for p in written] == sorted(
        p.name for p in (DATA / "s0000/segmentations").iterdir()
    )


def test_slices_go_out_and_come_back(root, capsys):
    assert main(["export", "-d", "TS", "--slices", str(root / "slices"), "-w", str(root)]) == 0
    bring_back(root, capsys.readouterr().out, "SLICES")


def test_statistics_of_every_structure_are_those_of_its_mask(root):
    assert main(["statistics", "-d", "TS", "-w", str(root)]) == 0
    found = read_json(root / "prepared/TS/statistics.json")["cases"][0]["targets"]
    ct, label_map = read_image(the_case(root).images[0]), read_labels(the_case(root).labels)
    targets = load_dataset(Workspace(root).raw("TS")).labels.targets
    for name, (value,) in targets.items():
        mask = label_map.array[0] == value
        assert found[name]["voxels"] == mask.sum()
        if mask.any():
            ours, voxels = found[name]["intensities"]["CT"], ct.array[0][mask].astype(float)
            np.testing.assert_allclose(
                [ours[key] for key in ("mean", "minimum", "p10", "p90", "maximum")],
                [voxels.mean(), voxels.min(), *np.percentile(voxels, (10, 90)), voxels.max()],
            )


def test_predicting_nothing_scores_high_only_where_empty_is_one(root, capsys):
    labels = read_labels(the_case(root).labels)
    path = root / "nothing" / "s0000.nii.gz"
    write_labels(path, np.zeros(labels.geometry.shape, np.uint8), labels.geometry)
    words = ["evaluate", "-p", str(path.parent), "-g", str(root / "raw/TS/labelsTr")]
    assert main([*words, "--compat", "empty-is-one"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (place,) = [i for i, line in enumerate(lines) if line.startswith("--compat empty-is-one")]
    assert "not the standard definition" in lines[place]
    assert lines[place].endswith("predicting nothing scores high")
    assert lines[place + 1] == "  Dice: mean 0.8316"
    summary = read_json(path.parent / "summary.json")
    assert summary["foreground_mean"]["dice"]["mean"] == 0.0
