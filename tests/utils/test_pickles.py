"""`pickle_kind` detects pickles by their bytes."""

import pickle
from pathlib import Path

import numpy as np

from helpers.bad_sources import Trap, torch_saved
from unnoise.utils.pickles import pickle_kind


def test_pickles_are_detected_whatever_the_name_of_their_file(tmp_path):
    path = tmp_path / "x.safetensors"
    for protocol in range(2, 6):
        path.write_bytes(pickle.dumps(Trap(), protocol))
        assert pickle_kind(path) == "a pickle"
    assert "torch.save" in pickle_kind(Path(torch_saved(str(path))))
    for data in (b"", b"\x80", b"\x80\x06.", b"PK\x03\x04", b"{}"):
        path.write_bytes(data)
        assert pickle_kind(path) is None
    np.savez(tmp_path / "x.npz", np.zeros(3))
    assert pickle_kind(tmp_path / "x.npz") is None
    assert pickle_kind(tmp_path) is None
