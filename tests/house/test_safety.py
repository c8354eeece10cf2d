"""Untrusted files: they cannot fill the memory, control a terminal or inject markup into a page."""

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from helpers.bad_pictures import jpeg_with_exif, png, tags, tiff, zeros
from helpers.data_files import png_chunk
from helpers.runs import start
from unnoise.api.tables import fact_table
from unnoise.cli import run
from unnoise.reports import RunFolder, report
from unnoise.reports.page import render
from unnoise.runs.config import RunConfig
from unnoise.runs.history import read_history
from unnoise.utils.errors import UnnoiseError

HOSTILE = "\x1b[31m</code><script>alert(1)</script>[/bold]\r\u202e\x07\ud800$x^$"
CHILD = """
import os, resource, sys, warnings
os.sched_getaffinity = lambda _: range(16)
from unnoise.data import load, summarize
from unnoise.utils.errors import UnnoiseError
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
for source in sys.argv[1:]:
    for read in (summarize, lambda name: load(name, size=(8, 8), channels=3)):
        try:
            read(source)
        except UnnoiseError as error:
            assert str(error)
print(peak() - before)
"""


def zip_bomb(path: Path) -> Path:
    """A .zip whose twelve members unpack from 50 kB to 50 MB each; half of them declare a small size."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        packed = bytes(50 * 2**20)
        archive.writestr("honest.png", packed)
        archive.writestr("liar.png", packed)
        (honest, liar) = archive.infolist()
        liar.file_size = 50
        archive.filelist += [honest, liar] * 5
    return path


def npz_bomb(path: Path) -> Path:
    """An .npz whose array declares 100 GB in its header and holds 100 MB."""
    header = io.BytesIO()
    fields = {"descr": "|u1", "fortran_order": False, "shape": (100, 10**5, 10**4)}
    np.lib.format.write_array_header_1_0(header, fields)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(100 * 2**20))
    return path


@pytest.mark.slow
def test_decompression_bombs_do_not_fill_the_memory(tmp_path, monkeypatch):
    """About 150 GB when unpacked, by 16 threads."""
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "pictures"
    folder.mkdir()
    too_large = png(60_000, 60_000, colour=0, pixels=zeros(16 * 2**20))
    text = png(4, 4, before=png_chunk(b"zTXt", b"k\0\0" + zeros(100 * 2**20)))
    fits = png(6_000, 6_000, pixels=zeros(104 * 2**20))
    for number in range(40):
        (folder / f"bomb-{number}.png").write_bytes(too_large)
        (folder / f"text-{number}.png").write_bytes(text)
    for number in range(6):  # 36 million pixels, 150 MB each: at most two are unpacked at once
        (folder / f"fits-{number}.png").write_bytes(fits)
    for name, data in {
        "exif.jpg": jpeg_with_exif(tags(20_000, 390_000)),
        "exif.png": png(4, 4, before=png_chunk(b"eXIf", tags(3000, 490_000)), pixels=zeros(0)),
        "tags.tif": tiff(4, 4, *((40_000 + n, 7, 10**6, 8) for n in range(3000))) + bytes(10**6),
    }.items():
        (folder / name).write_bytes(data)
    sources = [folder, zip_bomb(tmp_path / "bomb.zip"), npz_bomb(tmp_path / "bomb.npz")]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, sources)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 600
    assert {path.name for path in tmp_path.iterdir()} == {"cache", "pictures", "bomb.zip", "bomb.npz"}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A run whose texts, tables and folder name hold control characters and markup."""
    name = re.sub(r"[/\ud800]", "", HOSTILE)
    path = start(tmp_path_factory.mktemp("runs") / name, 3).path
    config = json.loads((path / "config.json").read_text())
    config["data"]["source"] = HOSTILE
    config["data"]["classes"] = [HOSTILE, "cat"]
    config["preset"] = HOSTILE
    (path / "config.json").write_text(json.dumps(config))
    quality = "step,images,seconds,kid,low,high,copied,nearer,extractor"
    (path / "quality.csv").write_text(f"{quality}\n1,16,1,nan,0,inf,0,0,{HOSTILE[:-8]}\n2,32,2,0.5,0,1,0,0,x\n")
    losses = "step,images,seconds,learning_rate,training_loss,noise_loss,image_loss,held_out_loss"
    (path / "history.csv").write_text(f"{losses}\n1,16,1,0.1,nan,inf,-inf,1e308\n2,32,2,,,,,\n")
    return path


def test_control_characters_of_a_run_are_escaped_in_the_terminal(hostile, capsys):
    assert run(["info", str(hostile)]) == 0
    assert run(["compare", str(hostile), str(hostile / "nowhere")]) == 2
    shown = "".join(capsys.readouterr())
    assert r"\x1b[31m</code>" in shown
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e\ud800]", shown)


def test_markup_and_control_characters_of_a_run_are_escaped_in_its_page(hostile):
    page = render(report(RunFolder.read(hostile)))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\ud800]", page)
    page.encode("utf-8")


def test_rich_markup_in_a_table_is_shown_as_text():
    shown = io.StringIO()
    Console(file=shown, width=80).print(fact_table({"source": "[/b][red]x"}))
    assert "[/b][red]x" in shown.getvalue()


def test_a_run_with_nan_and_infinite_losses_can_be_reported(tmp_path):
    run = start(tmp_path / "run", 3)
    names = "step,images,seconds,learning_rate,training_loss,noise_loss,image_loss,held_out_loss"
    (run.path / "history.csv").write_text(f"{names}\n1,16,1,0.1,nan,nan,nan,nan\n2,32,2,0.1,inf,inf,inf,inf\n")
    assert len(read_history(run.path / "history.csv")) == 2
    assert "2 steps" in render(report(RunFolder.read(run.path)))


def test_a_config_with_a_surrogate_is_refused():
    text = json.dumps({"format": 1, "preset": "\ud800"})
    with pytest.raises(UnnoiseError, match="missing or unknown"):
        RunConfig.from_json(text, Path("config.json"))
