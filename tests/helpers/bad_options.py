"""Options that are refused, and paths that cannot be written: rows of docs/reliability.md."""

from pathlib import Path

from helpers.data_files import save_many
from helpers.reliability import refused


def option(title, *given):
    return refused("Options of train", title, lambda _: ["train", "digits", "--out", "new", *given])


def place(title, prepare, *, leaves=()):
    return refused("Places to write", title, prepare, leaves=leaves)


def with_file(name: str, *arguments):
    """The arguments, beside a file of this name."""

    def prepare(_):
        Path(name).write_text("I am a file")
        return arguments

    return prepare


def with_folder(name: str, *arguments):
    def prepare(here):
        here.run()
        Path(name).mkdir()
        return arguments

    return prepare


def with_run(*arguments):
    def prepare(here):
        here.run()
        return arguments

    return prepare


def three_pictures(_):
    save_many(Path("pictures"), {f"{n}.png": (n, n, n) for n in range(3)})
    return ["train", "pictures", "--held-out", 3, "--steps", 1, "--out", "new"]


CASES = [
    option("no steps", "--steps", 0),
    option("steps below 0", "--steps", -5),
    option("steps that are not a number", "--steps", "many"),
    option("minutes below 0", "--minutes", -1),
    option("minutes that are NaN", "--minutes", "nan"),
    option("infinite minutes", "--minutes", "inf"),
    option("two budgets", "--steps", 3, "--minutes", 2),
    option("a size of 0", "--size", "0x0"),
    option("a size below 0", "--size=-3"),
    option("a size in words", "--size", "big"),
    option("a noise shift in words", "--noise-shift", "large"),
    option("a noise shift of 0", "--noise-shift", 0),
    option("a size that no memory holds", "--size", 99999),
    option("a batch of 0", "--batch-size", 0),
    option("a batch of 10^12", "--batch-size", 10**12),
    option("seven channels", "--channels", 7),
    option("a seed below 0", "--seed", -1),
    option("a seed of 30 digits", "--seed", 10**30),
    option("more held out than there are", "--held-out", 5000),
    refused("Options of train", "all pictures held out", three_pictures),
    option("an unknown preset", "--preset", "best"),
    option("an unknown device", "--device", "abacus"),
    option("an unknown colour", "--background", "sky"),
    option("an unknown fit", "--fit", "squash"),
    option("a change without a value", "--set", "objective.loss"),
    option("a change of a path that does not exist", "--set", "nowhere.loss=l1"),
    option("a change of an unknown setting", "--set", "network.surprise=1"),
    option("a change to a wrong word", "--set", "objective.loss=l3"),
    option("a change to a wrong type", "--set", "batch_size=many"),
    option("a change to infinity", "--set", "optimizer.learning_rate=1e999"),
    option("a change to a network that no memory holds", "--set", "network.widths=[60000,60000]"),
    option("a change to 10^9 blocks", "--set", "network.block_depth=1000000000"),
    option("classes for a network without classes", "--preset", "annotated-ddpm", "--labels", "auto"),
    option("an unknown option", "--surprise", 1),
    refused("Options of train", "no pictures", lambda _: ["train"]),
    refused("Options of train", "an unknown command", lambda _: ["paint", "digits"]),
    place("a run below a file", with_file("file", "train", "digits", "--steps", 1, "--out", "file/run")),
    place("a run in a folder that holds a run", with_run("train", "digits", "--steps", 1, "--out", "run")),
    place(
        "a demo in a folder that holds another run",
        lambda here: (here.run("mine/run"), ["demo", "--out", "mine"])[1],
    ),
    place("a picture below a file", with_run("generate", "run", "--out", "run/config.json/x.png")),
    place("a picture in a format that is not supported", with_run("generate", "run", "--out", "x.jpg")),
    place("a picture with an unknown suffix", with_run("generate", "run", "--out", "x.tar.gz")),
    place("an animation in a picture format", with_run("morph", "run", "--out", "x.png")),
    place("a page where there is a folder", with_folder("x.html", "report", "run", "--out", "x.html")),
    place("a page in another format", with_run("report", "run", "--out", "x.pdf")),
    place("a comparison below a file", with_run("compare", "run", "run", "--out", "run/config.json/x.html")),
    place("a sheet in another format", with_run("vary", "run", "--held-out", 1, "--out", "x.jpg")),
    place(
        "seeds that cross 2^63",
        with_run("generate", "run", "--seed", 2**63 - 8, "--num-images", 100, "--out", "new"),
    ),
    place("10^20 pictures", with_run("generate", "run", "--num-images", 10**20, "--out", "new")),
    place("10^12 pictures on a sheet", with_run("generate", "run", "--num-images", 10**12, "--out", "x.png")),
    place("10^12 frames", with_run("morph", "run", "--frames", 10**12, "--out", "x.gif")),
    place("results in another format", with_run("invert", "run", "--held-out", 1, "--save", "x.gif")),
]
