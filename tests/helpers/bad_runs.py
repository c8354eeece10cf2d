"""Damaged or malicious run folders, and wrong options of commands on a run: rows of docs/reliability.md."""

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from helpers.bad_pictures import gif
from helpers.bad_sources import Trap, torch_saved, written
from helpers.reliability import Place, refused
from unnoise.utils.tensor_files import read_tensors, write_tensors

SHOW = ("info", "run")
DRAW = ("generate", "run", "--out", "x.png")


def broken(title, spoil: Callable[[Path], object], *arguments, group="Runs", leaves=()):
    """A copy of a run that `spoil` has changed."""

    def prepare(place: Place):
        spoil(place.run())
        return arguments or DRAW

    return refused(group, title, prepare, leaves=leaves)


def given(title, make: Callable[[Path], object], *arguments):
    """Something else than a run, given as a run."""

    def prepare(place: Place):
        make(place.run())
        return arguments

    return refused("Not a run", title, prepare)


def asked(title, *arguments, prepare: Callable[[Path], object] = lambda _: None):
    return broken(title, prepare, *arguments, group="Commands on a run")


def changed(path: str, value: object) -> Callable[[Path], None]:
    """Puts a value into config.json."""

    def spoil(run: Path) -> None:
        config = json.loads((run / "config.json").read_text())
        place = config
        *parents, last = path.split(".")
        for name in parents:
            place = place[name]
        place[last] = value
        (run / "config.json").write_text(json.dumps(config))

    return spoil


def replaced(old: str, new: str) -> Callable[[Path], object]:
    """Another text in config.json."""

    def spoil(run: Path) -> None:
        text = (run / "config.json").read_text()
        assert old in text
        (run / "config.json").write_text(text.replace(old, new, 1))

    return spoil


def put(name: str, data: bytes | str) -> Callable[[Path], object]:
    raw = data.encode() if isinstance(data, str) else data
    return lambda run: (run / name).write_bytes(raw)


def cut(name: str, count: int) -> Callable[[Path], object]:
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[:count])


def tensors(header: object, body: bytes = b"", length: int | None = None) -> Callable[[Path], object]:
    """A model.safetensors with this header, and this length of it."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return put("model.safetensors", struct.pack("<Q", len(raw) if length is None else length) + raw + body)


def weights(change: Callable[[dict], dict]) -> Callable[[Path], object]:
    def spoil(run: Path) -> None:
        file = run / "model.safetensors"
        tensors, facts = read_tensors(file)
        write_tensors(file, change(tensors), facts)

    return spoil


def first_is(tensor: torch.Tensor) -> Callable[[dict], dict]:
    return lambda known: {**known, next(iter(known)): tensor}


def all_nan(known: dict) -> dict:
    return {
        name: torch.full_like(one, torch.nan) if one.is_floating_point() else one for name, one in known.items()
    }


def digit(size=(8, 8), name="one.png") -> Callable[[Path], object]:
    """A picture beside the run."""
    return lambda _: Image.new("L", size, 99).save(name)


def both(*each: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda run: [one(run) for one in each]


def states(spoil: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda run: [spoil(state) for state in (run / "training").glob("*.safetensors")]


def as_folder(state: Path) -> None:
    state.unlink()
    state.mkdir()


def folder_of_pickles(_: Path) -> None:
    Path("other").mkdir()
    torch_saved("other/last.ckpt")


def history(*cells: str) -> Callable[[Path], object]:
    names = "step,images,seconds,learning_rate,training_loss,noise_loss,image_loss,held_out_loss"
    return put("history.csv", names + "\n" + ",".join(cells) + "\n")


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
RESUME = ("train", "digits", "--out", "run", "--resume", "--steps", 9)
CASES = [
    given("nothing", lambda _: None, "generate", "nowhere"),
    given("an empty folder", lambda _: Path("empty").mkdir(), "evaluate", "empty"),
    given("a pickle", lambda _: written("model.pkl", pickle.dumps(Trap())), "generate", "model.pkl"),
    given("a checkpoint of PyTorch (.pt)", lambda _: torch_saved("model.pt"), "evaluate", "model.pt"),
    given("a checkpoint of PyTorch, given to info", lambda _: torch_saved("model.ckpt"), "info", "model.ckpt"),
    given("a pickle called .zip", lambda _: torch_saved("model.zip"), "report", "model.zip"),
    given("a folder with a checkpoint in it", folder_of_pickles, "compare", "run", "other"),
    given("the weights of a run", lambda _: None, "morph", "run/model.safetensors"),
    given("the config.json of a run", lambda _: None, "info", "run/config.json"),
    given("a picture", digit(), "solve", "one.png"),
    broken("config.json is a pickle", put("config.json", pickle.dumps(Trap())), *SHOW),
    broken("model.safetensors is a pickle", put("model.safetensors", pickle.dumps(Trap()))),
    broken("model.safetensors was written by torch.save", lambda run: torch_saved(run / "model.safetensors")),
    broken("a state is a pickle", states(lambda state: state.write_bytes(pickle.dumps(Trap()))), *RESUME),
    broken("config.json is empty", put("config.json", ""), *SHOW),
    broken("config.json is cut off", cut("config.json", 12), *SHOW),
    broken("config.json is not text", put("config.json", b"\xff\xfe\x00"), *SHOW),
    broken("config.json is a list", put("config.json", "[1, 2]"), *SHOW),
    broken("config.json is 100,000 nested lists", put("config.json", "[" * 100_000), *SHOW),
    broken("config.json has a number of 5,000 digits", replaced('"seed": 0', '"seed": ' + "9" * 5000), *SHOW),
    broken("config.json has a key twice", replaced('"seed": 0', '"seed": 0, "seed": 1'), *SHOW),
    broken("config.json has 65 MB", put("config.json", b" " * (65 * 2**20)), *SHOW),
    broken("an unknown key", changed("colour", "mauve"), *SHOW),
    broken("a run of a later version", changed("format", 99), *SHOW),
    broken("a seed in words", changed("seed", "seven"), *SHOW),
    broken("a number that is infinite", replaced('"learning_rate": 0.006', '"learning_rate": 1e400'), *SHOW),
    broken("a noise shift below 0", changed("recipe.noise_shift", -1.0), *SHOW),
    broken("a number that is NaN", changed("recipe.schedule.min_signal_rate", float("nan")), *SHOW),
    broken("widths that take 2 TB", changed("recipe.network.widths", [65536, 65536]), *SHOW),
    broken("widths of 10^18", changed("recipe.network.widths", [10**18, 10**18]), *SHOW),
    broken("10,000 levels", changed("recipe.network.widths", [8] * 10_000), *SHOW),
    broken("10^9 blocks at each level", changed("recipe.network.block_depth", 10**9), *SHOW),
    broken("pictures of 10^9 x 10^9", both(changed("data.height", 10**9), changed("data.width", 10**9)), *SHOW),
    broken("10^12 steps of sampling", changed("recipe.sampling.num_steps", 10**12), *SHOW),
    broken(
        "a chain of 10^12 steps",
        changed("recipe.schedule", {"kind": "SigmoidAlphaBar", "num_timesteps": 10**12}),
        *SHOW,
    ),
    broken(
        "a class name with terminal control codes",
        changed("data.classes", ["\x1b[31mcat\n", "\x1b[31mcat\n"]),
        *SHOW,
    ),
    broken("no weights", lambda run: (run / "model.safetensors").unlink()),
    broken("weights that are cut off", cut("model.safetensors", 5000)),
    broken("weights that are a folder", lambda run: as_folder(run / "model.safetensors")),
    broken("a network that is no longer that of the weights", changed("recipe.network.block_depth", 2)),
    broken("a network that is told of noise in another way", changed("recipe.condition", "variance")),
    broken(
        "an optimiser that is no longer that of the state", changed("recipe.optimizer.name", "adam"), *RESUME
    ),
    broken("a header of 2^63 bytes", tensors({}, length=2**63)),
    broken("a header that is not JSON", tensors(b"{" * 99)),
    broken("a header of 100,000 nested objects", tensors(b'{"a":' * 100_000)),
    broken("tensors that overlap", tensors({"a": F32, "b": {**F32, "data_offsets": [4, 12]}}, bytes(12))),
    broken("a tensor beyond the end", tensors({"a": {**F32, "data_offsets": [0, 2**40]}}, bytes(8))),
    broken("a shape in words", tensors({"a": {**F32, "shape": ["2"]}}, bytes(8))),
    broken("a shape that overflows", tensors({"a": {**F32, "shape": [2**62, 2**62]}}, bytes(8))),
    broken("facts of 110 MB", tensors(b'{"__metadata__":{"a":"' + b"x" * (110 * 2**20) + b'"}}')),
    broken("an additional tensor", weights(lambda known: {**known, "surprise": torch.zeros(1)})),
    broken("a tensor of another shape", weights(first_is(torch.zeros(3, 3)))),
    broken("weights that are NaN", weights(all_nan)),
    broken("states that are cut off", states(lambda state: state.write_bytes(b"half")), *RESUME),
    broken("a folder in place of a state", states(as_folder), *RESUME),
    broken("history.csv with a line that is too short", history("1", "16"), "report", "run"),
    broken("history.csv with a word for a number", history(*["many"] * 8), "report", "run"),
    broken("history.csv without a step", history("", "16", "1", "", "", "", "", ""), *SHOW),
    broken("history.csv with a step of 400 digits", history("9" * 400, *["1"] * 7), "report", "run"),
    broken("history.csv with a field of 200,000 letters", history("x" * 200_000), *SHOW),
    broken("quality.csv with a word for a number", put("quality.csv", "step,kid\nmany,few\n"), "report", "run"),
    broken("evaluation.json that is cut off", put("evaluation.json", '{"quality": '), "report", "run"),
    broken("evaluation.json that is a list", put("evaluation.json", "[]"), "report", "run"),
    broken(
        "a sheet that is PostScript",
        put("samples/9999999999.png", "%!PS-Adobe-3.0 EPSF-3.0\n"),
        "report",
        "run",
    ),
    broken("solve.json without what was before", put("solve.json", "{}"), "solve", "run", "--restore"),
    broken(
        "a stored average with another name",
        lambda run: written(str(run / "ema/1-two.safetensors"), b""),
        "ema",
        "run",
        "--sigma-rel",
        0.1,
    ),
    asked("no images", *DRAW, "--num-images", 0),
    asked("no steps", *DRAW, "--num-steps", 0),
    asked("10^9 steps", *DRAW, "--num-steps", 10**9),
    asked(
        "more steps than a chain has",
        *(*DRAW, "--num-steps", 21),
        prepare=changed("recipe.schedule", {"kind": "SigmoidAlphaBar", "num_timesteps": 20}),
    ),
    asked("eta above 1", *DRAW, "--eta", 1.5),
    asked("a class of a run without classes", *DRAW, "--labels", "cat"),
    asked("an unknown sampler", *DRAW, "--sampler", "euler_a"),
    asked("a seed below 0", *DRAW, "--seed", -1),
    asked("guidance below 0", *DRAW, "--guidance", -1),
    asked("a step without a stored average", *DRAW, "--autoguidance", 2, "--weak", 7),
    asked("best samples that were never measured", *DRAW, "--best"),
    asked("one seed to morph", "morph", "run", "--seeds", 1),
    asked("two frames", "morph", "run", "--frames", 2),
    asked("a picture that does not exist", "vary", "run", "nowhere.png"),
    asked("no picture", "vary", "run"),
    asked(
        "a picture that is a text file",
        "invert",
        "run",
        "one.png",
        prepare=lambda _: written("one.png", b"text"),
    ),
    asked(
        "a picture of 60,000 x 60,000",
        "invert",
        "run",
        "one.gif",
        prepare=lambda _: written("one.gif", gif(60_000, 60_000)),
    ),
    asked("an amount above 1", "vary", "run", "one.png", "--amount", 2, prepare=digit()),
    asked(
        "a mask of another size",
        "inpaint",
        "run",
        "one.png",
        "--mask",
        "mask.png",
        prepare=both(digit(), digit((9, 8), "mask.png")),
    ),
    asked("strength above 1", "generate", "run", "--from", "one.png", "--strength", 1.1, prepare=digit()),
    asked("a size smaller than the picture", "outpaint", "run", "one.png", "--size", "8x7", prepare=digit()),
    asked("a size that no memory holds", "outpaint", "run", "one.png", "--size", "8x5000", prepare=digit()),
    asked(
        "an option of another task",
        *("restore", "run", "one.png", "--task", "deblur", "--factor", 2),
        prepare=digit(),
    ),
    asked("an option of another sampler", *DRAW, "--sampler", "heun", "--eta", 0.5),
    asked("an option of samples, where none are drawn", "evaluate", "run", "--bits-per-dim", "--minutes", 3),
    asked("colourising by a grey run", "restore", "run", "one.png", "--task", "colourise", prepare=digit()),
    asked("a factor that does not divide", "restore", "run", "one.png", "--factor", 3, prepare=digit()),
    asked(
        "65 pictures at once",
        "invert",
        "run",
        "many.npy",
        prepare=lambda _: np.save("many.npy", np.zeros((65, 8, 8), np.uint8)),
    ),
    asked(
        "an extractor that is a pickle",
        "evaluate",
        "run",
        "--extractor",
        "net.pt",
        prepare=lambda _: torch_saved("net.pt"),
    ),
    asked("an average of width 0", "ema", "run", "--sigma-rel", 0),
    asked("averages that were not stored", "ema", "run", "--sigma-rel", 0.1),
    asked("an export to nothing known", "export", "run", "--to", "onyx", "--out", "x.onnx"),
    asked("an export to ONNX under another name", "export", "run", "--to", "onnx", "--out", "x.txt"),
    asked(
        "a page without its runtime", "export", "run", "--to", "web", "--out", "page", "--runtime", "nowhere"
    ),
    asked("a page in a file of another name", "export", "run", "--to", "web", "--out", "page", "--single-file"),
    asked("a single run to compare", "compare", "run"),
    asked("resuming at another size", *RESUME, "--size", 16),
    asked(
        "resuming with other pictures",
        "train",
        "other.npy",
        "--out",
        "run",
        "--resume",
        prepare=lambda _: np.save("other.npy", np.zeros((9, 8, 8), np.uint8)),
    ),
]
