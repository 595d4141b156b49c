"""What is logged of an image reaches who sent it, once and without its place."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest
import requests

from autoseg.image import Geometry
from autoseg.nifti_header import new_header, with_type
from autoseg.serving.overheard import OURS, overheard
from tests.serving.flat import served


class Listener(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@pytest.fixture
def listener(caplog):
    caplog.set_level("INFO")
    listener = Listener()
    logging.getLogger(OURS).addHandler(listener)
    yield listener
    logging.getLogger(OURS).removeHandler(listener)


@pytest.mark.parametrize("aloud", [True, False])
def test_each_sentence_is_kept_once_and_names_no_place(listener, aloud):
    log = logging.getLogger("autoseg.io")
    with overheard("/tmp/x/image.nii", "the image", aloud) as said:
        for _ in range(3):
            log.info("%s: is crooked", "/tmp/x/image.nii")
        log.info("the image: is empty")
        log.info("something else")
        other = threading.Thread(target=log.info, args=("the image: of another thread",))
        other.start()
        other.join()
    log.info("/tmp/x/image.nii: later")
    assert said == ["is crooked", "is empty"]
    passed = ["something else", "the image: of another thread", "/tmp/x/image.nii: later"]
    aloud_lines = ["the image: is crooked", "the image: is empty"] if aloud else []
    assert listener.lines == aloud_lines + passed


def test_a_client_is_told_what_is_odd_about_its_scan(solid_bundle, tmp_path):
    array = np.arange(9**3, dtype=np.uint8).reshape(9, 9, 9)
    header = bytearray(with_type(new_header(Geometry((9, 9, 9)), 1, array.dtype), "<", array.dtype))
    header[252:256] = bytes(4)  # neither qform nor sform
    kind = {"Content-Type": "application/octet-stream", "Prefer": "respond-async"}
    fact = "the header does not say how the scan lies; taken as upright"
    with served(solid_bundle) as service:
        data = bytes(header) + bytes(4) + array.tobytes()
        place = (
            service.url
            + requests.post(f"{service.url}/segment", data, headers=kind, timeout=30).headers[
                "location"
            ]
        )
        while (said := requests.get(place, timeout=9).json())["state"] in ("waiting", "running"):
            pass
        assert requests.get(f"{place}/scene", timeout=30).status_code == 200
        assert (said["state"], said["warnings"]) == ("done", [fact])
        lines = service.log.read_text().splitlines()
    assert lines.count(f"the image: {fact}") == 1
    assert not [line for line in lines if "image.nii" in line]
