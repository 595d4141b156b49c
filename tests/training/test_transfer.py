"""Laws of transfer: what fits is loaded, channels and outputs by name, and the report is true."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from autoseg.networks import build_network
from autoseg.plan import NetworkSpec
from autoseg.training.transfer import Ends, Transfer, describe_transfer, match_names, transfer

SPEC = NetworkSpec(
    "plain_unet", (4, 8, 16), ((1, 1, 1), (2, 2, 2), (2, 2, 2)), ((3, 3, 3),) * 3, (2, 2, 2), (2, 2)
)
RESIDUAL = dataclasses.replace(SPEC, name="residual_unet", encoder_blocks=(1, 1, 1))
ENDS = Ends(("T1",), ("", "a", "b"))
FIRST = "encoder.0.0.convolution.weight"


def make(spec: NetworkSpec, ends: Ends, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build_network(spec, len(ends.channels), len(ends.outputs))


def move(
    theirs: Ends, ours: Ends, spec: NetworkSpec = SPEC, own_spec: NetworkSpec | None = None
) -> tuple[nn.Module, nn.Module, nn.Module, Transfer]:
    """The source, the new network before and after, and the report."""
    source = make(spec, theirs, 1)
    own_spec = own_spec or spec
    before, network = make(own_spec, ours, 2), make(own_spec, ours, 2)
    return source, before, network, transfer(network, source.state_dict(), theirs, ours)


@pytest.mark.parametrize("spec", [SPEC, RESIDUAL], ids=["plain", "residual"])
def test_the_same_ends_and_design_load_everything(spec: NetworkSpec):
    source, _, network, report = move(ENDS, ENDS, spec)
    assert report.share == 1
    assert not report.adapted
    assert not report.new
    assert not report.unused
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name])


def test_outputs_are_copied_by_name_and_new_targets_stay_as_drawn():
    ours = Ends(("T1",), ("", "b", "c"))
    source, before, network, report = move(ENDS, ours)
    for name in ("heads.0.weight", "heads.1.bias"):
        old, start = source.state_dict()[name], before.state_dict()[name]
        now = network.state_dict()[name]
        assert torch.equal(now[0], old[0])
        assert torch.equal(now[1], old[2])
        assert torch.equal(now[2], start[2])
        assert report.adapted[name] == "outputs of b from the source"
    heads = sum(t.numel() for n, t in network.state_dict().items() if n.startswith("heads."))
    total = sum(t.numel() for t in network.state_dict().values())
    assert report.share == pytest.approx(1 - heads / 3 / total)


@pytest.mark.parametrize(
    "ours",
    [Ends(("T1",), ("", "x", "y")), Ends(("T1",), ("a", "b"))],
    ids=["other targets", "sigmoids"],
)
def test_other_targets_and_other_kinds_of_scores_begin_anew(ours: Ends):
    _, before, network, report = move(ENDS, ours)
    heads = [name for name in network.state_dict() if name.startswith("heads.")]
    assert sorted(report.new) == sorted(heads)
    assert sorted(report.unused) == sorted(heads)
    for name in heads:
        assert torch.equal(network.state_dict()[name], before.state_dict()[name])


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        (("CT",), ("MR",), [(0,)]),
        (("CT",), ("T1", "T2"), [(0,), (0,)]),
        (("T1", "T2"), ("T2", "T1"), [(1,), (0,)]),
        (("T1", "T2", "FLAIR"), ("FLAIR",), [(2,)]),
        (("T1", "T2"), ("T1", "PET"), [(0,), (1,)]),
        (("T1", "T2", "FLAIR"), ("T1", "PET"), [(0,), (1, 2)]),
        (("T1",), ("T1", "PET"), [(0,), (0,)]),
        (("A", "B"), ("C", "D", "E"), [(0, 1), (0, 1), (0, 1)]),
    ],
)
def test_channels_are_matched_by_name_then_by_place_then_by_mean(theirs, ours, expected):
    assert match_names(theirs, ours) == expected


@pytest.mark.parametrize(
    ("spec", "first"), [(SPEC, FIRST), (RESIDUAL, "stem.convolution.weight")], ids=["plain", "res"]
)
def test_the_first_convolution_is_adapted_to_other_channels(spec: NetworkSpec, first: str):
    theirs, ours = Ends(("T1", "T2", "FLAIR"), ("", "a")), Ends(("FLAIR", "PET"), ("", "a"))
    source, _, network, report = move(theirs, ours, spec)
    old, now = source.state_dict()[first], network.state_dict()[first]
    assert torch.equal(now[:, 0], old[:, 2])
    assert torch.allclose(now[:, 1], (old[:, 0] + old[:, 1]) / 2)
    assert report.adapted == {first: "channel FLAIR from FLAIR, PET from T1 and T2"}
    assert report.share == 1
    assert not report.new


def test_a_deeper_network_takes_what_a_shallower_one_has():
    deeper = NetworkSpec(
        "plain_unet", (4, 8, 16, 16), ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2)),
        ((3, 3, 3),) * 4, (2, 2, 2, 2), (2, 2, 2),
    )  # fmt: skip
    source, _, network, report = move(ENDS, ENDS, SPEC, deeper)
    assert {".".join(name.split(".")[:2]) for name in report.new} == {
        "encoder.3", "up.2", "decoder.2", "heads.2",
    }  # fmt: skip
    assert not report.unused
    name = "encoder.2.1.convolution.weight"
    assert torch.equal(network.state_dict()[name], source.state_dict()[name])
    _, _, _, back = move(ENDS, ENDS, deeper, SPEC)
    assert not back.new
    assert len(back.unused) == len(report.new)


def test_a_network_of_slices_does_not_fit_volumes():
    flat = dataclasses.replace(
        SPEC, strides=((1, 1, 1), (1, 2, 2), (1, 2, 2)), kernels=((1, 3, 3),) * 3
    )
    _, before, network, report = move(ENDS, ENDS, flat, SPEC)
    assert report.nothing
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before.state_dict()[name])


def test_the_report_is_readable():
    _, _, _, report = move(ENDS, Ends(("T1", "T2"), ("", "b", "c")))
    lines = describe_transfer(report)
    assert lines[0].endswith("% of the parameters come from these weights")
    nearly = describe_transfer(dataclasses.replace(report, share=0.9999))
    assert nearly[0].startswith("99.9 %")  # something is new
    assert "encoder.0 (5), encoder.1 (6), encoder.2 (6), up.0 (2)" in lines[1]
    assert f"adapted: {FIRST}: channel T1 from T1, T2 from T1" in lines
    assert "adapted: heads.0.bias: outputs of b from the source" in lines
