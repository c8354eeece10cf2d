"""`write_tensors` and `read_tensors`: the same tensors and metadata are the same file."""

import itertools

import pytest
import torch
from safetensors import safe_open

from unnoise.utils.tensor_files import read_tensors, write_tensors

TENSORS = {
    "zeta": torch.arange(6.0).reshape(2, 3),
    "alpha": torch.arange(5, dtype=torch.int64),
    'ümlaut "quoted" \\ \t': torch.tensor([True, False]),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "scalar": torch.tensor(2.5, dtype=torch.float64),
}


def test_equal_tensors_and_facts_are_equal_bytes_in_whatever_order_they_come(tmp_path):
    facts = {"step": "20", "sigma_rel": "0.05", "who": "Ωλ", "control": "a\x01b\n", "e": ""}
    written = set()
    for number, order in enumerate(itertools.islice(itertools.permutations(facts), 0, 120, 5)):
        path = tmp_path / f"{number}.safetensors"
        tensors = dict(sorted(TENSORS.items(), reverse=number % 2 == 0))
        write_tensors(path, tensors, {name: facts[name] for name in order})
        written.add(path.read_bytes())
    assert len(written) == 1


@pytest.mark.parametrize("facts", [{}, {"step": "1"}, {str(n): "x" * n for n in range(40)}])
def test_files_are_read_as_written_by_unnoise_and_by_safetensors(tmp_path, facts):
    path = tmp_path / "a.safetensors"
    write_tensors(path, TENSORS, facts)
    tensors, found = read_tensors(path)
    assert found == facts
    with safe_open(path, framework="pt") as file:
        assert set(file.keys()) == set(TENSORS)
        for name, tensor in TENSORS.items():
            assert torch.equal(file.get_tensor(name), tensor)
            assert torch.equal(tensors[name], tensor)
