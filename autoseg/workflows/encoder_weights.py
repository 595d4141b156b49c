"""`--weights FILE` and `--weights imagenet`: a training whose encoder begins with another's."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.architectures import options_of
from autoseg.errors import ResourceError, UsageError
from autoseg.files import sha256
from autoseg.network_options import EfficientnetOptions
from autoseg.networks.library import monai_networks
from autoseg.plan import NetworkSpec
from autoseg.sharing.nnunet_checkpoint import read_pickle
from autoseg.training.encoder_weights import load_encoder, read_safetensors
from autoseg.training.transfer import Transfer

log = logging.getLogger(__name__)

IMAGENET = "imagenet"
ENDINGS = (".safetensors", ".pth", ".pt", ".bin")
NESTED = ("state_dict", "model")  # under which programs keep the tensors
EXPECTED = "a table of tensors, such as EfficientNet-PyTorch publishes"


@dataclass(frozen=True)
class EncoderWeights:
    """Tensors for an encoder, with the hash of what they came from."""

    words: str  # what `--weights` has to say to mean them
    name: str  # without any folder
    sha256: str
    state: Mapping[str, Tensor]

    def describe(self) -> str:
        """Return `efficientnet-b3.pth (sha256 1a2b3c4d5e6f)`."""
        return f"{self.name} (sha256 {self.sha256[:12]})"

    def origin(self) -> dict[str, Any]:
        """Return what is kept with the model, without any path."""
        return {"file": self.name, "sha256": self.sha256}

    def begin(self, network: nn.Module) -> Transfer:
        """Load the encoder of `network`; raise UsageError where these are not its weights."""
        try:
            return load_encoder(network, self.state)
        except UsageError as error:
            raise UsageError(error.fact, place=self.name, expected=error.expected) from error


def find_encoder_weights(text: str, spec: NetworkSpec) -> EncoderWeights | None:
    """Return the weights that `--weights` names: a file, or `imagenet`; None: a bundle is meant."""
    if text == IMAGENET:
        return _of_imagenet(spec)
    path = Path(text)
    if path.suffix not in ENDINGS or path.is_dir():
        return None
    if not path.is_file():
        raise UsageError("there is no such file", place=text)
    return EncoderWeights(str(path.resolve()), path.name, sha256(path), _read(path))


def _read(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    content = read_pickle(path, EXPECTED)
    for key in NESTED:
        content = content.get(key, content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(t, Tensor) for t in content.values()):
        raise UsageError("holds no table of tensors", place=str(path), expected=EXPECTED)
    return content


def _of_imagenet(spec: NetworkSpec) -> EncoderWeights:
    """Return what MONAI loads, from the network or torch's folder of downloads."""
    if spec.name != "efficientnet_unet":
        fact = f"--weights {IMAGENET}: {spec.name} has no encoder that was trained on it"
        raise UsageError(fact, remedy="--set network=efficientnet_unet")
    encoder = options_of(spec, EfficientnetOptions).encoder
    library = monai_networks(spec.name)
    log.info("weights: %s of ImageNet, by MONAI's loader", encoder)
    try:
        with torch.random.fork_rng(devices=[]):
            state = library.EfficientNetBNFeatures(encoder, pretrained=True).state_dict()
    except OSError as error:  # no network, no such place, no room for the file
        raise ResourceError(
            f"the ImageNet weights of {encoder} cannot be fetched: {error}",
            remedy="fetch the file where there is a network, and name it: --weights FILE "
            f"({address_of(encoder)})",
        ) from error
    return EncoderWeights(IMAGENET, f"{encoder} of ImageNet", _hash(state), state)


def address_of(encoder: str) -> str:
    """Return where MONAI fetches the weights of an EfficientNet; "" where it knows none."""
    addresses: dict[str, str] = monai_networks("efficientnet_unet").efficientnet.url_map
    return addresses.get(encoder, "")


def _hash(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in state.items():
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
