"""`keep_freed_memory`, in a process of its own whose allocator it changes."""

import json
import platform
import subprocess
import sys

import pytest

from unnoise.utils import malloc

_COUNTS = """
import json, resource, sys
import torch
from unnoise.utils import malloc

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.zeros(64 * 2**20, dtype=torch.uint8).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

pages = 8 * 64 * 2**20 // resource.getpagesize()
returned = new_pages()
kept = malloc.keep_freed_memory()
new_pages()
print(json.dumps([pages, returned, kept, new_pages()]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_is_reused_without_new_pages():
    done = subprocess.run([sys.executable, "-c", _COUNTS], capture_output=True, text=True, check=True)
    pages, returned, kept, again = json.loads(done.stdout)
    assert kept is True
    assert again < 0.01 * pages
    assert returned > 2 * again


@pytest.mark.parametrize("missing", ["linux", "mallopt"])
def test_systems_without_glibc_are_left_as_they_are(missing, monkeypatch):
    from unnoise.utils import malloc

    if missing == "linux":
        monkeypatch.setattr(sys, "platform", "darwin")
    else:
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setattr(malloc.ctypes, "CDLL", lambda _: object())
    assert malloc.keep_freed_memory() is False


def test_memory_is_given_back_where_the_c_library_can(monkeypatch):
    assert malloc.give_back_freed_memory() in {True, False}
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not malloc.give_back_freed_memory()
