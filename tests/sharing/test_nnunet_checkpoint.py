"""A checkpoint is read without running anything that is in it."""

import zipfile

import numpy as np
import pytest
import torch

from autoseg.errors import CorruptError, DataError
from autoseg.sharing.nnunet_checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from tests.sharing.nnunet_folders import make_folder


class Payload:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def checkpoint(tmp_path, **changed):
    return make_folder(tmp_path / "model", **changed) / "fold_0" / "checkpoint_final.pth"


def test_weights_configuration_and_mirror_axes_are_read_past_numpy_numbers(tmp_path):
    found = read_checkpoint(checkpoint(tmp_path))
    assert found.configuration == "3d_fullres"
    assert found.trainer == "nnUNetTrainer"
    assert found.mirror_axes == (0, 1, 2)
    assert found.epochs == 5
    assert found.weights["decoder.seg_layers.1.weight"].shape == (3, 4, 1, 1, 1)


def test_numbers_named_after_the_place_of_numpy_1_are_read(tmp_path):
    path = checkpoint(tmp_path)
    content = path.read_bytes()
    assert b"numpy._core.multiarray" in content or b"numpy.core.multiarray" in content
    # The archive's checksums do not cover what is inside the pickle's own text alone: rewrite it.
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            if name.endswith("data.pkl"):
                data = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
            archive.writestr(name, data)
    assert read_checkpoint(path).epochs == 5


def test_no_mirroring_is_read_as_no_axes(tmp_path):
    path = checkpoint(tmp_path, inference_allowed_mirroring_axes=None)
    assert read_checkpoint(path).mirror_axes == ()


@pytest.mark.parametrize("place", ["logging", "init_args", "network_weights"])
def test_an_object_that_runs_code_is_refused_and_does_not_run(tmp_path, place):
    victim = tmp_path / "victim"
    path = checkpoint(tmp_path, **{place: {"x": Payload(victim)}})
    with pytest.raises(CorruptError, match=r"holds an object of the kind \w*io\.open") as caught:
        read_checkpoint(path)
    assert "so it was not read" in str(caught.value)
    assert not victim.exists()


def test_arrays_of_objects_are_refused(tmp_path):
    path = checkpoint(tmp_path, logging=np.array([{}], dtype=object))
    with pytest.raises(CorruptError, match="holds an object of the kind numpy"):
        read_checkpoint(path)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_file_that_was_cut_is_corrupt(tmp_path, share):
    path = checkpoint(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CorruptError, match=r"checkpoint_final\.pth: cannot be read"):
        read_checkpoint(path)


def test_an_archive_that_unpacks_to_more_is_refused(tmp_path):
    path = tmp_path / "checkpoint_final.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10_000_000)
    with pytest.raises(CorruptError, match="unpacks to 9 MB from 0 MB"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"network_weights": 3}, "network_weights is not a table of tensors"),
        ({"network_weights": {"a": 3}}, "network_weights is not a table of tensors"),
        ({"init_args": {}}, "init_args does not name the configuration"),
    ],
)
def test_a_checkpoint_of_something_else_is_named(tmp_path, changed, message):
    with pytest.raises(DataError, match=message):
        read_checkpoint(checkpoint(tmp_path, **changed))


def test_weights_without_a_trainer_are_no_checkpoint_of_nnunet(tmp_path):
    torch.save({"network_weights": {}}, tmp_path / "c.pth")
    with pytest.raises(DataError, match="misses init_args, trainer_name, expected a checkpoint"):
        read_checkpoint(tmp_path / "c.pth")


def test_what_is_written_is_read_again_and_holds_nothing_private(tmp_path):
    ours = Checkpoint({"a.weight": torch.ones(2)}, "2d", "nnUNetTrainer", (), 3)
    write_checkpoint(tmp_path / "c.pth", ours, 0)
    again = read_checkpoint(tmp_path / "c.pth")
    assert torch.equal(again.weights["a.weight"], torch.ones(2))
    assert (again.configuration, again.mirror_axes, again.epochs) == ("2d", (), 3)
    content = torch.load(tmp_path / "c.pth", weights_only=True)
    assert content["inference_allowed_mirroring_axes"] is None  # what their predictor expects
    assert content["init_args"] == {"configuration": "2d", "fold": 0}
