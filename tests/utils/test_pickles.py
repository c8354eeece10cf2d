"""Pickles are detected by their bytes and refused, whatever the name of their file."""

import pickle

import numpy as np
import pytest
import torch

from unnoise.utils.errors import UnnoiseError
from unnoise.utils.pickles import pickle_kind, require_no_pickle


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_pickle_of_any_binary_protocol_is_detected_and_refused(tmp_path, protocol):
    path = tmp_path / "x.safetensors"
    path.write_bytes(pickle.dumps({"a": 1}, protocol))
    assert pickle_kind(path) == "a pickle"
    with pytest.raises(UnnoiseError, match="is a pickle, and unnoise never opens pickles"):
        require_no_pickle(path)


def test_an_archive_of_torch_save_is_detected(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "x.safetensors")
    assert "torch.save" in pickle_kind(tmp_path / "x.safetensors")


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80\x06.", b"PK\x03\x04", b"{}"])
def test_other_bytes_are_no_pickle(tmp_path, data):
    (tmp_path / "x").write_bytes(data)
    assert pickle_kind(tmp_path / "x") is None
    require_no_pickle(tmp_path / "x")


def test_a_zip_archive_and_a_folder_are_no_pickle(tmp_path):
    np.savez(tmp_path / "x.npz", np.zeros(3))
    assert pickle_kind(tmp_path / "x.npz") is None
    assert pickle_kind(tmp_path) is None
