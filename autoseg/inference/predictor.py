"""From a trained model to labels: stages for the verbs, `Predictor` for programs."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from autoseg.bundle import Bundle
from autoseg.bundle_reader import load_bundle
from autoseg.config import PredictConfig, override
from autoseg.device import pick_device
from autoseg.errors import CorruptError, DataError, UsageError
from autoseg.image import Geometry, Image
from autoseg.inference.array_predictor import ArrayPredictor, build_predictor
from autoseg.inference.export import decode_mean, decode_restored
from autoseg.inference.localise import predict_localised
from autoseg.inference.probabilities import whole_probabilities
from autoseg.labels import Labels
from autoseg.networks import NETWORKS, build_network
from autoseg.postprocess import apply_rules
from autoseg.preprocessing.crop import Box
from autoseg.preprocessing.finding import worth_telling
from autoseg.preprocessing.guard import look_at_scan
from autoseg.preprocessing.guard_labels import look_at_labels
from autoseg.preprocessing.prepare import Frame, prepare
from autoseg.preprocessing.previous import previous_indices, with_previous
from autoseg.rules import Rules, parse_rules, thresholds

log = logging.getLogger(__name__)


def load_predictor(bundle: Bundle, config: PredictConfig, device: torch.device) -> ArrayPredictor:
    """Return `build_predictor` of the networks of all folds in `bundle`."""
    networks = load_networks(bundle)
    cascade = bundle.settings.previous is not None
    return build_predictor(
        networks, bundle.plan, bundle.design, bundle.config, config, device, cascade
    )


def load_stages(
    bundle: Bundle, config: PredictConfig, device: torch.device
) -> tuple[ArrayPredictor, ...]:
    """Return the predictors of `bundle.stages`: one, or those of a cascade in their order."""
    return tuple(load_predictor(stage, config, device) for stage in bundle.stages)


def run_stages(
    stages: Sequence[ArrayPredictor],
    prepared: Sequence[tuple[np.ndarray, Frame]],
    labels: Labels,
) -> tuple[Tensor, Frame, Box | None]:
    """Return the scores of the last stage, their frame, and where they are from.

    The last is what `predict_localised` says.

    `prepared` holds one scan as each stage sees it. Each but the last is decoded to labels on the
    scan's own grid, as its validation cases were when the next one was trained.
    """
    label_map: np.ndarray | None = None
    for number, (predict, (array, frame)) in enumerate(zip(stages, prepared, strict=True), start=1):
        if label_map is not None:
            array = with_previous(array, previous_indices(label_map, frame, labels))
        scores, searched = predict_localised(predict, array, frame)
        if number < len(stages):
            label_map = decode_restored(scores, frame, labels)
    return scores, frame, searched


def load_networks(bundle: Bundle) -> list[nn.Module]:
    """Return one network per fold with its weights; raise CorruptError when they do not fit."""
    networks = []
    for fold, weights in bundle.weights.items():
        try:
            if bundle.design.network.name in NETWORKS:
                # First without memory: numbers that came with a model may ask for any amount of it.
                with torch.device("meta"):
                    _network(bundle).load_state_dict(dict(weights), strict=True, assign=True)
            with torch.random.fork_rng(devices=[]):  # the caller's random numbers are not ours
                network = _network(bundle)
            network.load_state_dict(dict(weights), strict=True)
        except RuntimeError as error:
            raise CorruptError(
                f"the weights of fold {fold} do not fit the network of the plan",
                place=str(bundle.folder),
                expected=str(error).splitlines()[-1].strip(),
            ) from error
        networks.append(network)
    return networks


def _network(bundle: Bundle) -> nn.Module:
    channels = bundle.plan.input_channels(bundle.configuration), bundle.plan.labels.channels
    return build_network(bundle.design.network, *channels)


class Predictor:
    """A loaded model: image array and spacing in, label array out. Threads may share one.

    >>> predictor = Predictor("models/HIPPO/3d_fullres-S/bundle")       # doctest: +SKIP
    >>> label_map = predictor(volume, spacing=(1.0, 1.0, 1.0))          # doctest: +SKIP
    """

    def __init__(
        self,
        bundle: Bundle | Path | str,
        device: str | None = None,
        speed: str = "balanced",
        trust: bool = False,
        folds: Sequence[str] | None = None,
        settings: Sequence[str] = (),
    ) -> None:
        """Load `bundle` (a folder, or one that is loaded) on `device` (None: a GPU if there is).

        `folds` are those that are averaged (None: every trained one, or those that are loaded);
        `settings` are what follows `--set` on the command line: "mirror=off", "step=0.75",
        "precision=bfloat16", "rules=liver:largest_component". Precision is float32 and no rules
        are applied unless that says otherwise.
        """
        if not isinstance(bundle, Bundle):
            bundle = load_bundle(Path(bundle), folds, trust)
        elif folds is not None:
            remedy = "load_bundle(folder, folds)"
            raise UsageError("folds of a bundle that is loaded already", remedy=remedy)
        self.bundle = bundle
        self._trust = trust
        config = override(PredictConfig(speed=speed), settings)
        rules = "none" if config.rules == "best" else config.rules  # a bundle alone has none
        self._rules = parse_rules(rules, bundle.plan.labels)
        self._stages = load_stages(bundle, config, pick_device(device))

    def __call__(
        self,
        array: np.ndarray,
        spacing: Sequence[float],
        direction: Sequence[float] | None = None,
    ) -> np.ndarray:
        """Return the label map (Z, Y, X) of `array` (C, Z, Y, X), or (Z, Y, X) with one channel.

        `spacing` is (Z, Y, X) in mm; axes run towards head, back and left unless `direction`, nine
        cosines as in `Geometry`, says otherwise. Values are those of the label files; an array of
        nothing but zeros gets zeros. A picture has Z = 1.
        """
        image = _image_of(array, spacing, direction)
        return predict_image(self._stages, self.bundle, image, self._trust, self._rules)

    def probabilities(
        self,
        array: np.ndarray,
        spacing: Sequence[float],
        direction: Sequence[float] | None = None,
    ) -> np.ndarray:
        """Return the probabilities (channels, Z, Y, X) float32 behind the label map of `array`.

        The channels are the targets, after background where they exclude each other. All of them at
        once: large scans with many targets need much memory.
        """
        image, labels = _image_of(array, spacing, direction), self.bundle.plan.labels
        prepared = _prepare_stages(self.bundle, image, self._trust)
        _warn_unlike(self.bundle, image)
        scores, frame, _ = run_stages(self._stages, prepared, labels)
        return whole_probabilities([(scores, frame)], labels)


def _image_of(
    array: np.ndarray, spacing: Sequence[float], direction: Sequence[float] | None
) -> Image:
    volume = np.asarray(array)
    volume = volume[None] if volume.ndim == 3 else volume
    if volume.ndim != 4:
        expected = "(C, Z, Y, X) or (Z, Y, X)"
        raise DataError(f"an array of shape {np.shape(array)}", expected=expected)
    if not np.isfinite(volume).all():
        raise DataError("the array holds NaN or infinity")
    z, y, x = (float(size) for size in spacing)
    geometry = Geometry(volume.shape[1:], (z, y, x))
    if direction is not None:
        geometry = dataclasses.replace(geometry, direction=tuple(map(float, direction)))
    return Image(volume.astype(np.float32), geometry)


def predict_image(
    stages: Sequence[ArrayPredictor],
    bundle: Bundle,
    image: Image,
    trust: bool = False,
    rules: Rules | None = None,
) -> np.ndarray:
    """Return the label map (Z, Y, X) of `image` (C, Z, Y, X) on its own grid, after `rules`.

    `stages` are the predictors of `bundle.stages`.
    """
    labels = bundle.plan.labels
    prepared = _prepare_stages(bundle, image, trust)
    if not image.array.any():
        return np.zeros(image.geometry.shape, labels.dtype)
    _warn_unlike(bundle, image)
    scores, frame, _ = run_stages(stages, prepared, labels)
    rules = rules or {}
    label_map = decode_mean([(scores, frame)], labels, thresholds(rules, labels))
    label_map = apply_rules(label_map, image.geometry.spacing, labels, rules)
    after = look_at_labels(label_map, image.geometry, bundle.plan)
    for warning in worth_telling([after] if after else []):
        log.warning("%s", warning)
    return label_map


def _warn_unlike(bundle: Bundle, image: Image) -> None:
    """Log in what a scan is unlike those that the model learnt from."""
    if image.array.any():
        found = look_at_scan(image, bundle.plan, bundle.settings.normalizers)
        for warning in worth_telling(found):
            log.warning("%s", warning)


def _prepare_stages(bundle: Bundle, image: Image, trust: bool) -> list[tuple[np.ndarray, Frame]]:
    return [prepare(image, stage.plan, stage.settings, trust) for stage in bundle.stages]
