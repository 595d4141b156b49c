"""The predictor: mean over folds, any size of image, the same from many threads."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.bundle_reader import load_bundle
from autoseg.config import PredictConfig, TrainConfig
from autoseg.errors import AutosegError, CorruptError, DataError, UsageError
from autoseg.image import Geometry, Image, Orientation
from autoseg.inference.array_predictor import build_predictor
from autoseg.inference.predictor import (
    Predictor,
    load_networks,
    load_predictor,
    predict_image,
)
from autoseg.inference.speed import describe_speed, settle
from autoseg.labels import Labels

from .conftest import make_bundle, make_plan

CPU = torch.device("cpu")


def random_image(shape=(18, 26, 20), seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 20, (1, *shape)).astype(np.float32)


def test_folds_are_averaged_as_logits(bundle_folder: Path):
    array = random_image()
    single = [
        load_predictor(load_bundle(bundle_folder, [fold]), PredictConfig(), CPU)(array)
        for fold in ("0", "1")
    ]
    both = load_predictor(load_bundle(bundle_folder), PredictConfig(), CPU)(array)
    assert not torch.allclose(single[0], single[1])
    torch.testing.assert_close(both, (single[0] + single[1]) / 2, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 40, 5), (16, 24, 16), (17, 24, 16), (40, 30, 50)])
def test_every_size_of_image_gets_scores_of_its_own_size(bundle_folder: Path, shape):
    predict = load_predictor(load_bundle(bundle_folder, ["0"]), PredictConfig(), CPU)
    scores = predict(random_image(shape))
    assert scores.shape == (3, *shape)
    assert scores.dtype == torch.float32


def test_the_network_of_a_training_is_not_touched(bundle_folder: Path):
    bundle = load_bundle(bundle_folder, ["0"])
    (network,) = load_networks(bundle)
    network.train()
    predict = build_predictor(
        [network], bundle.plan, bundle.design, TrainConfig(), PredictConfig(), CPU
    )
    predict(random_image())
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_rules_that_are_asked_for_change_the_label_map(bundle_folder: Path):
    array = random_image((8, 26, 20))
    plain = Predictor(bundle_folder, "cpu", settings=["rules=none"])(array, (1.0, 1.0, 1.0))
    value = int(plain.max())
    name = Predictor(bundle_folder, "cpu").bundle.plan.labels.names[value - 1]
    settings = [f"rules={name}:min_voxels:1000000"]
    ruled = Predictor(bundle_folder, "cpu", settings=settings)(array, (1.0, 1.0, 1.0))
    assert value > 0
    assert np.array_equal(ruled, np.where(plain == value, 0, plain))


def test_mirroring_follows_the_training(bundle_folder: Path):
    bundle = load_bundle(bundle_folder, ["0"])
    networks = load_networks(bundle)

    def flips(train_config: TrainConfig, speed: str) -> int:
        config = PredictConfig(speed=speed)
        predict = build_predictor(networks, bundle.plan, bundle.design, train_config, config, CPU)
        return len(predict.flips)

    assert flips(TrainConfig(), "accurate") == 8
    assert flips(TrainConfig(), "balanced") == 4
    assert flips(TrainConfig(mirror_axes=(0,)), "balanced") == 2
    assert flips(TrainConfig(mirror_axes=()), "accurate") == 1
    assert flips(TrainConfig(), "fast") == 1


def test_an_accurate_prediction_keeps_tiles_at_the_size_of_the_patch(bundle_folder: Path):
    bundle = load_bundle(bundle_folder, ["0"])
    sizes = {
        speed: load_predictor(bundle, PredictConfig(speed=speed), CPU).tile_size((18, 24, 9))
        for speed in ("accurate", "balanced", "fast")
    }
    assert sizes["accurate"] == (16, 24, 16)
    assert sizes["balanced"] == sizes["fast"] == (20, 24, 16)


def test_scores_that_are_not_finite_are_an_error(bundle_folder: Path):
    bundle = load_bundle(bundle_folder, ["0"])
    (network,) = load_networks(bundle)
    with torch.no_grad():
        next(iter(network.parameters())).fill_(float("nan"))
    config = PredictConfig()
    predict = build_predictor([network], bundle.plan, bundle.design, TrainConfig(), config, CPU)
    with pytest.raises(AutosegError, match="not finite"):
        predict(random_image())


def test_weights_that_do_not_fit_the_plan_are_named(bundle_folder: Path):
    bundle = load_bundle(bundle_folder, ["0"])
    weights = dict(bundle.weights["0"])
    weights.pop(next(iter(weights)))
    broken = load_bundle(bundle_folder, ["0"])
    object.__setattr__(broken, "weights", {"0": weights})
    with pytest.raises(CorruptError, match="fold 0 do not fit"):
        load_networks(broken)


def test_a_model_that_asks_for_more_memory_than_there_is_is_refused_before(bundle_folder: Path):
    bundle = load_bundle(bundle_folder, ["0"])
    design = bundle.design
    network = dataclasses.replace(design.network, features=(10**6,) * len(design.network.features))
    settings = dataclasses.replace(
        bundle.settings, sizes={bundle.size: dataclasses.replace(design, network=network)}
    )
    plan = dataclasses.replace(bundle.plan, configurations={bundle.configuration: settings})
    with pytest.raises(CorruptError, match=r"fold 0 do not fit.*size mismatch"):  # no allocation
        load_networks(dataclasses.replace(bundle, plan=plan))


def test_loading_a_model_draws_no_random_number_of_the_caller(bundle_folder: Path):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    load_networks(load_bundle(bundle_folder))
    assert torch.equal(torch.rand(1), expected)


# --- the public class ----------------------------------------------------------------------------


def test_array_and_spacing_become_labels_on_the_same_grid(bundle_folder: Path):
    predictor = Predictor(bundle_folder, device="cpu")
    label_map = predictor(random_image((20, 30, 10))[0], spacing=(2.0, 1.0, 1.5))
    assert label_map.shape == (20, 30, 10)
    assert label_map.dtype == np.uint8
    assert set(np.unique(label_map)) <= {0, 1, 2}
    assert len(np.unique(label_map)) > 1


def test_eight_threads_share_one_predictor(bundle_folder: Path):
    predictor = Predictor(str(bundle_folder), device="cpu")
    images = [random_image((12 + i % 3, 20, 18), seed=i) for i in range(16)]
    alone = [predictor(image, (1.0, 1.0, 1.0)) for image in images]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda image: predictor(image, (1.0, 1.0, 1.0)), images))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def two_channel_plan(patch=(16, 24, 16)):
    plan = make_plan(patch=patch)
    settings = dataclasses.replace(
        plan.configurations["3d_fullres"], normalizers=("zscore",) * 2,
        mask_normalization=(False,) * 2,
    )  # fmt: skip
    return dataclasses.replace(
        plan, channels=("T1", "T2"), intensities=plan.intensities * 2,
        configurations={"3d_fullres": settings},
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(2, 14, 20, 18), (2, 1, 30, 40)])
def test_threads_share_a_predictor_of_several_channels_and_of_pictures(tmp_path: Path, shape):
    folder = make_bundle(tmp_path / "bundle", plan=two_channel_plan())
    predictor = Predictor(folder, device="cpu")
    rng = np.random.default_rng(0)
    images = [rng.normal(100, 20, shape).astype(np.float32) for _ in range(8)]
    alone = [predictor(image, (1.0, 1.0, 1.0)) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: predictor(image, (1.0, 1.0, 1.0)), images))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
    assert all(label_map.shape == shape[1:] for label_map in alone)
    assert any(not np.array_equal(alone[0], other) for other in alone[1:])


def test_folds_and_settings_are_those_of_the_command(bundle_folder: Path):
    array = random_image()
    both = Predictor(bundle_folder, device="cpu")
    one = Predictor(bundle_folder, device="cpu", folds=["1"])
    assert list(one.bundle.weights) == ["1"]
    assert not np.array_equal(both(array, (1, 1, 1)), one(array, (1, 1, 1)))
    plain = Predictor(bundle_folder, device="cpu", settings=["mirror=off", "step=0.75"])
    fast = Predictor(bundle_folder, device="cpu", speed="fast")
    assert np.array_equal(plain(array, (1, 1, 1)), fast(array, (1, 1, 1)))
    with pytest.raises(UsageError, match="unknown setting 'miror' -> did you mean"):
        Predictor(bundle_folder, settings=["miror=off"])
    with pytest.raises(UsageError, match="loaded already"):
        Predictor(load_bundle(bundle_folder), folds=["0"])


def test_probabilities_are_those_behind_the_label_map(bundle_folder: Path):
    predictor = Predictor(bundle_folder, device="cpu")
    array = random_image((20, 30, 10))
    probabilities = predictor.probabilities(array, (2.0, 1.0, 1.5))
    assert probabilities.shape == (3, 20, 30, 10)
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    assert np.array_equal(probabilities.argmax(0), predictor(array, (2.0, 1.0, 1.5)))


def test_an_array_of_zeros_holds_nothing(bundle_folder: Path):
    label_map = Predictor(bundle_folder, device="cpu")(np.zeros((8, 9, 10)), (1, 1, 1))
    assert not label_map.any()


def test_arrays_it_cannot_read_are_refused(bundle_folder: Path):
    predictor = Predictor(bundle_folder, device="cpu")
    with pytest.raises(DataError, match=r"shape \(4, 4\)"):
        predictor(np.zeros((4, 4)), (1, 1, 1))
    with pytest.raises(DataError, match="2 channels, expected 1"):
        predictor(np.zeros((2, 4, 4, 4)), (1, 1, 1))
    with pytest.raises(DataError, match="NaN"):
        predictor(np.full((1, 4, 4, 4), np.nan), (1, 1, 1))


def test_a_turned_scan_gets_the_same_labels_turned(bundle_folder: Path):
    bundle = load_bundle(bundle_folder)
    predict = load_predictor(bundle, PredictConfig(), CPU)
    array = random_image((14, 20, 17))
    upright = predict_image([predict], bundle, Image(array, Geometry((14, 20, 17))))
    # The same patient, stored with axes X, Z, Y and the first of them backwards.
    turn = Orientation((1, 2, 0), (2,))
    stored = np.ascontiguousarray(turn.undo(array))
    direction = np.zeros((3, 3))
    direction[[0, 1, 2], [1, 2, 0]] = 1, 1, -1
    geometry = Geometry(stored.shape[1:], direction=tuple(direction.ravel()))
    turned = predict_image([predict], bundle, Image(stored, geometry))
    assert np.array_equal(turn.apply(turned), upright)


def test_left_and_right_change_places_in_a_mirrored_patient(tmp_path: Path):
    plan = make_plan(Labels({"kidney_left": (1,), "kidney_right": (2,)}))
    folder = make_bundle(tmp_path / "bundle", plan=plan)
    predictor = Predictor(folder, device="cpu", speed="accurate")
    array = random_image((16, 24, 16))
    label_map = predictor(array, (1, 1, 1))
    mirrored = predictor(array[..., ::-1], (1, 1, 1))
    exchanged = np.array([0, 2, 1], dtype=np.uint8)[mirrored[..., ::-1]]
    assert (exchanged != label_map).mean() < 1e-3


# --- speed ---------------------------------------------------------------------------------------


def test_each_speed_says_what_it_sets():
    assert describe_speed(PredictConfig(speed="accurate")) == (
        "speed accurate: tiles overlap by half, all mirror images averaged, float32"
    )
    assert describe_speed(PredictConfig(speed="fast")).startswith(
        "speed fast: tiles overlap by a quarter and may outgrow the patch, no mirroring, float32"
    )


def test_localising_says_how_far_around_and_other_speeds_take_no_margin():
    assert describe_speed(PredictConfig(speed="localise")) == (
        "speed localise: large scans only 20 mm around what a first look finds, tiles overlap by "
        "half and may outgrow the patch, every other mirror image averaged, float32"
    )
    assert settle(PredictConfig(speed="localise", margin_mm=0)).margin_mm == 0
    assert settle(PredictConfig()).margin_mm is None
    with pytest.raises(UsageError, match="no use at speed balanced -> --speed localise"):
        settle(PredictConfig(margin_mm=10))
    with pytest.raises(UsageError, match=r"margin_mm -1, expected 0 or more"):
        settle(PredictConfig(speed="localise", margin_mm=-1))


def test_a_setting_wins_over_the_speed():
    config = settle(PredictConfig(speed="fast", step=0.5, mirror="half", precision="bfloat16"))
    assert (config.step, config.mirror, config.precision) == (0.5, "half", "bfloat16")


def test_unknown_names_and_steps_are_answered_with_the_known_ones():
    with pytest.raises(UsageError, match="did you mean 'fast'"):
        settle(PredictConfig(speed="fasst"))
    with pytest.raises(UsageError, match="did you mean 'bfloat16'"):
        settle(PredictConfig(precision="bfloat61"))
    with pytest.raises(UsageError, match="step 0"):
        settle(PredictConfig(step=0.0))
