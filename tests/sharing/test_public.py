"""Nothing of the author's computer or patients leaves with a model."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from autoseg.bundle_reader import load_bundle, open_bundle
from autoseg.bundle_writer import save_weights, update_card
from autoseg.config import TrainConfig
from autoseg.errors import CorruptError
from autoseg.sharing.public import _Shortener, copy_public
from tests.inference.conftest import make_bundle, make_plan, make_weights


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("/home/Jane Doe/x/w.pth", "w.pth"),
        ("started from /home/jane/x/w.pth, 3 of 4", "started from w.pth, 3 of 4"),
        ("see https://a.b/c/d and C:\\Users\\jane\\w.pth", "see https://a.b/c/d and w.pth"),
        ("https://a.b/c/d", "https://a.b/c/d"),
        ("front/back, 1/2, package.module:function", "front/back, 1/2, package.module:function"),
        ("~/ws/x", "x"),
        ("in /secret place/ws/a b", "in a b"),
    ],
)
def test_of_paths_only_the_last_part_stays(words: str, left: str):
    assert _Shortener(("/secret place/ws",)).text(words) == left


def test_a_clean_bundle_is_copied_byte_by_byte(tmp_path: Path):
    bundle = make_bundle(tmp_path / "models" / "b", ("0", "1"))
    (bundle / "notes.txt").write_text("mine")
    assert copy_public(bundle, tmp_path / "copy", None, False) == []
    files = {p.relative_to(bundle): p.read_bytes() for p in bundle.rglob("*.*")}
    del files[Path("notes.txt")]
    copied = {p.relative_to(tmp_path / "copy"): p.read_bytes()
              for p in (tmp_path / "copy").rglob("*.*")}  # fmt: skip
    assert copied == {name: data for name, data in files.items() if ".lock" not in name.name}


def test_what_slipped_in_is_taken_out_and_told(tmp_path: Path):
    place = tmp_path / "secret_user" / "bundle"
    plan = dataclasses.replace(make_plan(), reasons=(f"read from {place}/case_smith.nii.gz",))
    config = TrainConfig(trainer=f"{place}/mine.py")
    state = make_weights(plan, 0)
    card = {"steps": 3, "from": str(place), "list": [str(place)]}
    save_weights(place, "0", state, plan, "3d_fullres", "S", config, card)
    update_card(
        place,
        lambda known: dataclasses.replace(
            known, about=dataclasses.replace(known.about, reference=f"file {place}/a.pdf")
        ),
    )
    changed = copy_public(place, tmp_path / "copy", None, False)
    assert changed == ["plan.json", "train.json", "card.json"]
    for path in (tmp_path / "copy").rglob("*.*"):
        assert b"secret_user" not in path.read_bytes(), path
    info = open_bundle(tmp_path / "copy")
    assert info.config.trainer == "mine.py"
    assert info.card.model_card.about.reference == "file a.pdf"
    assert load_bundle(tmp_path / "copy").weights["0"].keys() == state.keys()


def test_chosen_folds_only_and_a_damaged_one_is_refused(tmp_path: Path):
    bundle = make_bundle(tmp_path / "b", ("0", "1", "full"))
    copy_public(bundle, tmp_path / "copy", ["1"], False)
    assert sorted(p.name for p in (tmp_path / "copy").glob("fold_*")) == ["fold_1"]
    copy_public(bundle, tmp_path / "all", None, False)
    assert len(list((tmp_path / "all").glob("fold_*"))) == 3
    weights = bundle / "fold_0" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(CorruptError, match="changed or damaged"):
        copy_public(bundle, tmp_path / "third", None, False)


def test_cards_stay_readable_json(tmp_path: Path):
    bundle = make_bundle(tmp_path / "b", ("0",))
    copy_public(bundle, tmp_path / "copy", None, False)
    assert json.loads((tmp_path / "copy/card.json").read_text())["dataset"] == "TOY"
