"""A bundle that somebody changed by one number does not pass, with its hashes corrected or not."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from autoseg.bundle import model_id
from autoseg.bundle_reader import load_bundle, open_bundle
from autoseg.bundle_writer import update_card
from autoseg.cli import main
from autoseg.errors import CorruptError
from autoseg.files import sha256
from autoseg.inference.predictor import load_networks
from autoseg.labels import Labels
from autoseg.networks.blocks import Norm
from autoseg.plan import IntensityStats, Plan
from autoseg.plan_file import save_plan
from autoseg.workflows.trial_run import _exact, write_tests
from autoseg.workflows.verify import verify
from tests.inference.conftest import make_bundle, make_plan

CPU = torch.device("cpu")


def ct_plan(labels: Labels | None = None) -> Plan:
    plan = make_plan(labels)
    settings = dataclasses.replace(plan.configurations["3d_fullres"], normalizers=("ct",))
    stats = IntensityStats(50.0, 30.0, -20.0, 130.0, -100.0, 300.0)
    return dataclasses.replace(plan, configurations={"3d_fullres": settings}, intensities=(stats,))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_bundle(tmp_path_factory.mktemp("author") / "bundle", ("0", "1"), ct_plan())
    write_tests(folder, CPU)
    return folder


@pytest.fixture
def bundle(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "elsewhere" / "b"))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def correct_hashes(bundle: Path, identity: str | None = None) -> None:
    """What somebody does who knows the format."""
    shared = json.loads((bundle / "card.json").read_text())
    hashes = {name: sha256(bundle / name) for name in shared["sha256"]}
    ids = {} if identity is None else {"model_id": identity}
    edit(bundle / "card.json", sha256=hashes, **ids)
    for card in bundle.glob("fold_*/card.json"):
        weights, test = card.parent / "weights.safetensors", card.parent / "test.json"
        edit(card, sha256=sha256(weights), test_sha256=sha256(test), **ids)


def test_a_copy_anywhere_is_as_it_was_saved(bundle: Path, capsys):
    verified = verify(bundle)
    assert [line.split(":")[0] for line in verified.lines] == ["fold 0", "fold 1"]
    assert "0 of" in verified.lines[0]
    assert "torch" in verified.environment
    assert main(["verify", "-m", str(bundle)]) == 0
    out, err = capsys.readouterr()
    assert "as its author saved it (2 folds)" in out
    assert "fold 1: " in err


@pytest.mark.parametrize("labels", [Labels({"whole": (1, 2), "part": (2,)}), Labels({"x": (300,)})])
def test_regions_and_large_values_pass(tmp_path: Path, labels: Labels):
    folder = make_bundle(tmp_path / "b", ("0",), ct_plan(labels))
    write_tests(folder, CPU)
    assert len(verify(folder).lines) == 1


def change_weight(bundle: Path, factor: float = 1.5) -> None:
    path = bundle / "fold_1" / "weights.safetensors"
    state = load_file(path)
    weights = state["encoder.1.0.convolution.weight"].view(-1)
    weights[weights.abs().argmax()] *= factor
    save_file(state, path)


def change_normalisation(bundle: Path, name: str = "std", factor: float = 1.02) -> None:
    plan = open_bundle(bundle).plan
    stats = plan.intensities[0]
    stats = dataclasses.replace(stats, **{name: getattr(stats, name) * factor})
    save_plan(bundle / "plan.json", dataclasses.replace(plan, intensities=(stats,)))


@pytest.mark.parametrize("change", [change_weight, change_normalisation])
def test_one_changed_number_is_seen_by_its_hash(bundle: Path, change):
    change(bundle)
    with pytest.raises(CorruptError):
        verify(bundle)
    assert main(["verify", "-m", str(bundle)]) == 7


def test_one_changed_weight_with_its_hash_corrected_is_named(bundle: Path, capsys):
    change_weight(bundle)
    correct_hashes(bundle)
    assert load_bundle(bundle)
    assert main(["verify", "-m", str(bundle)]) == 7
    err = capsys.readouterr().err
    assert "fold 1: 1 tensors hold other weights, such as 'encoder.1.0.convolution.weight'" in err
    assert "fold 0: " in err
    assert "scores differ by" in err


def test_one_weight_changed_in_its_last_digit_is_named(bundle: Path, capsys):
    change_weight(bundle, 1 + 1e-7)
    correct_hashes(bundle)
    assert main(["verify", "-m", str(bundle)]) == 7
    assert "fold 1: 1 tensors hold other weights" in capsys.readouterr().err


def test_a_changed_normalisation_number_with_its_hash_corrected_is_told(bundle: Path, capsys):
    change_normalisation(bundle)
    correct_hashes(bundle)
    assert main(["verify", "-m", str(bundle)]) == 7
    assert "the plan is not the one that the model was trained by" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["mean", "std", "p0_5", "p99_5"])
def test_and_by_the_test_case_when_all_else_was_corrected(bundle: Path, capsys, name: str):
    change_normalisation(bundle, name)
    correct_hashes(bundle)
    info = open_bundle(bundle)
    identity = model_id(info.plan, info.configuration, info.size, info.config)
    for test in bundle.glob("fold_*/test.json"):
        edit(test, model_id=identity)
    correct_hashes(bundle, identity)
    assert main(["verify", "-m", str(bundle)]) == 7
    err = capsys.readouterr().err
    for fold in ("0", "1"):
        assert f"fold {fold}: the prepared scan differs by" in err


def test_variances_of_the_test_case_are_exact_whatever_the_processor_prefers(saved: Path):
    (network,) = load_networks(load_bundle(saved, ["0"]))
    tiles = torch.randn(2, 1, 16, 24, 16) + 30.0  # far from zero, where digits are lost
    (exact,) = _exact(network, CPU)(tiles)
    state = {name: tensor.double() for name, tensor in network.state_dict().items()}
    reference = copy.deepcopy(network).eval()
    for module in reference.modules():
        if isinstance(module, Norm):
            module.exact = True
    reference.double().load_state_dict(state)
    (truth,) = reference.requires_grad_(False)(tiles.double())
    assert float((exact.double() - truth).abs().max()) < 1e-4


def test_a_bundle_of_an_older_version_is_verified_as_far_as_that_goes(tmp_path: Path):
    folder = make_bundle(tmp_path / "b", ("0",))
    (line,) = verify(folder).lines
    assert "no test case (saved by an older version)" in line


def test_an_edited_page_does_not_stop_predicting_but_is_told_and_can_be_mended(bundle, capsys):
    page = bundle / "MODEL_CARD.md"
    page.write_text(page.read_text() + "Approved by everybody.\n")
    assert load_bundle(bundle)
    assert main(["verify", "-m", str(bundle)]) == 7
    assert "autoseg card" in capsys.readouterr().err
    assert main(["card", "-m", str(bundle), "--set", "licence=CC BY 4.0"]) == 0
    assert "**Licence**: CC BY 4.0" in capsys.readouterr().out
    assert "Approved" not in page.read_text()
    assert main(["verify", "-m", str(bundle)]) == 0


def test_a_card_without_settings_changes_nothing(bundle: Path):
    before = {p: p.read_bytes() for p in bundle.rglob("*.*")}
    assert main(["card", "-m", str(bundle)]) == 0
    assert before == {p: p.read_bytes() for p in bundle.rglob("*.*")}
    assert main(["card", "-m", str(bundle), "--set", "licens=x"]) == 2


def test_a_test_case_is_small_and_the_same_each_time(saved: Path, tmp_path: Path):
    folder = make_bundle(tmp_path / "b", ("0", "1"), ct_plan())
    write_tests(folder, CPU)
    for fold in ("0", "1"):
        name = f"fold_{fold}/test.json"
        assert (folder / name).read_bytes() == (saved / name).read_bytes()
        assert (folder / name).stat().st_size < 1_000_000


def test_new_weights_take_the_old_test_away(saved: Path, tmp_path: Path):
    folder = make_bundle(tmp_path / "b", ("0",), ct_plan())
    write_tests(folder, CPU)
    make_bundle(folder, ("0",), ct_plan())
    assert open_bundle(folder).fold_cards["0"].test_sha256 == ""
    assert not (folder / "fold_0" / "test.json").exists()


def test_texts_stay_when_another_fold_is_saved(tmp_path: Path):
    folder = make_bundle(tmp_path / "b", ("0",))
    update_card(
        folder,
        lambda card: dataclasses.replace(
            card, about=dataclasses.replace(card.about, licence="mine")
        ),
    )
    make_bundle(folder, ("1",))
    assert open_bundle(folder).card.model_card.about.licence == "mine"
