"""A bundle that is not what it was says so, by file, before anything is loaded."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from autoseg.bundle import describe
from autoseg.bundle_reader import load_bundle, open_bundle
from autoseg.bundle_writer import save_weights
from autoseg.config import TrainConfig
from autoseg.errors import CorruptError, UsageError
from tests.inference.conftest import make_bundle, make_plan, make_weights


def save(folder: Path, fold: str, plan=None, config=None, state=None) -> None:
    plan = plan or make_plan()
    state = state or make_weights(plan, 0)
    save_weights(folder, fold, state, plan, "3d_fullres", "S", config or TrainConfig(), {"a": 1})


def test_one_flipped_byte_in_any_file_is_found(tmp_path: Path):
    make_bundle(tmp_path)
    for name in ("plan.json", "train.json", "fold_0/weights.safetensors"):
        path = tmp_path / name
        good = path.read_bytes()
        path.write_bytes(good[:-9] + bytes([good[-9] ^ 1]) + good[-8:])
        with pytest.raises(CorruptError, match="changed or damaged") as caught:
            load_bundle(tmp_path)
        assert caught.value.place == str(path)
        path.write_bytes(good)
    load_bundle(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "autoseg-bundle-1"}'])
def test_a_damaged_card_is_named(tmp_path: Path, text: str):
    make_bundle(tmp_path)
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(CorruptError, match=r"card\.json"):
        open_bundle(tmp_path)


def test_a_missing_fold_is_answered_with_the_folds_there_are(tmp_path: Path):
    make_bundle(tmp_path, ("0", "3"))
    with pytest.raises(UsageError, match=r"fold 2 is not in this model.*0, 3.*-f"):
        load_bundle(tmp_path, ["2"])
    assert open_bundle(tmp_path, ["3"]).folds == ("3",)
    assert describe(open_bundle(tmp_path)) == "3d_fullres-S, folds 0 3"


def test_a_folder_without_a_model_is_the_users_mistake(tmp_path: Path):
    with pytest.raises(UsageError, match="no model here"):
        load_bundle(tmp_path)


def test_missing_weights_are_named(tmp_path: Path):
    make_bundle(tmp_path)
    (tmp_path / "fold_0" / "weights.safetensors").unlink()
    with pytest.raises(CorruptError, match="missing from the bundle -> copy the bundle again"):
        load_bundle(tmp_path)


def test_weights_that_are_no_safetensors_are_refused_even_with_the_right_hash(tmp_path: Path):
    from autoseg.files import sha256

    make_bundle(tmp_path)
    weights, card = (tmp_path / "fold_0" / name for name in ("weights.safetensors", "card.json"))
    weights.write_bytes(b"\x80\x04cposix\nsystem\n(S'touch pwned'\ntR.")
    content = json.loads(card.read_text()) | {"sha256": sha256(weights)}
    card.write_text(json.dumps(content))
    with pytest.raises(CorruptError, match="not safetensors"):
        load_bundle(tmp_path)
    assert not (tmp_path / "pwned").exists()


def test_weights_with_nan_are_refused(tmp_path: Path):
    state = make_weights(make_plan(), 0)
    next(iter(state.values())).view(-1)[0] = float("nan")
    save(tmp_path, "0", state=state)
    with pytest.raises(CorruptError, match="NaN"):
        load_bundle(tmp_path)


def test_folds_of_different_plans_are_not_averaged(tmp_path: Path):
    save(tmp_path, "0")
    save(tmp_path, "1", make_plan(patch=(16, 16, 16)))
    with pytest.raises(CorruptError, match=r"fold 0 was trained with another plan.*-f 1"):
        load_bundle(tmp_path)
    assert list(load_bundle(tmp_path, ["1"]).weights) == ["1"]


def test_the_model_of_all_cases_is_taken_when_named_or_alone(tmp_path: Path):
    save(tmp_path, "full")
    assert describe(open_bundle(tmp_path)) == "3d_fullres-S, fold full"
    save(tmp_path, "1")
    save(tmp_path, "0")
    info = open_bundle(tmp_path)
    assert describe(info) == "3d_fullres-S, folds 0 1 (without full: -f full takes it)"
    assert open_bundle(tmp_path, ["full"]).folds == ("full",)


@pytest.mark.parametrize("name", ["os:abort", "os:path.join", "os:"])
def test_code_of_others_runs_only_with_trust(tmp_path: Path, name: str):
    plan = make_plan()
    configuration = plan.configurations["3d_fullres"]
    design = configuration.sizes["S"]
    network = dataclasses.replace(design.network, name=name)
    sizes = {"S": dataclasses.replace(design, network=network)}
    foreign = dataclasses.replace(
        plan, configurations={"3d_fullres": dataclasses.replace(configuration, sizes=sizes)}
    )
    save(tmp_path, "0", foreign, state=make_weights(plan, 0))
    with pytest.raises(CorruptError, match=rf"asks to import '{name}'.*--trust"):
        load_bundle(tmp_path)
    assert open_bundle(tmp_path, trust=True).design.network.name == name


def test_looking_at_a_bundle_loads_no_torch(tmp_path: Path):
    make_bundle(tmp_path)
    program = (
        "import sys; from pathlib import Path; from autoseg.bundle_reader import open_bundle;"
        f"open_bundle(Path({str(tmp_path)!r})); print('torch' in sys.modules)"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
