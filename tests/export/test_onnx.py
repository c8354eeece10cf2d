"""Export to ONNX: onnxruntime draws what PyTorch draws, for every network, size and kind of weights."""

import json
import re
from dataclasses import replace
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch

from helpers.runs import start
from unnoise.cli import run
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.objectives import Objective
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import OffsetCosine, SigmoidAlphaBar
from unnoise.export.onnx_denoise import OnnxDenoise
from unnoise.export.onnx_graph import denoise_graph
from unnoise.export.onnx_weights import store_weights
from unnoise.networks import AnnotatedConfig, TransformerConfig, UNet2DConfig, UNetConfig, build
from unnoise.runs.checkpoint import Progress, Run

pytest.importorskip("onnxscript")
onnx, onnxruntime = (pytest.importorskip(name) for name in ("onnx", "onnxruntime"))

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
TINY = {"channels": 1, "widths": (8, 16), "block_depth": 1, "embedding_dim": 16}
NETWORKS = {
    "keras-ddim": UNetConfig(
        **TINY,
        block="book",
        normalization="batch",
        attention=("none", "none"),
        embedding="input",
        upsampling="bilinear",
    ),
    "clear-ddim": UNetConfig(
        **TINY,
        attention=("none", "full"),
        modulation="add",
        upsampling="bilinear",
        attention_heads=2,
        step_length=True,
    ),
    "resnet": UNetConfig(**TINY, block="resnet", attention=("linear", "full")),
    "everything": UNetConfig(
        **TINY,
        block="convnext",
        attention=("linear", "full"),
        frequencies="timesteps",
        num_classes=3,
        self_conditioning=True,
        learned_variance=True,
        uncertainty=True,
    ),
    "annotated-ddpm": AnnotatedConfig(study="convnext", dim=12, multipliers=(1, 2)),
    "annotated-resnet": AnnotatedConfig(study="resnet", dim=8, multipliers=(1,)),
    "ddpm-study": AnnotatedConfig(study="ddpm_study", dim=8, multipliers=(1,), groups=4),
    "diffusers": UNet2DConfig(channels=1, widths=(8, 16), layers=1, attention=(False, True), groups=4),
}
"""All but those of our presets and the transformer: to translate one takes ten seconds, and runs have them."""
TIMESTEPS = {"everything", "annotated-ddpm", "annotated-resnet", "ddpm-study", "diffusers"}
TRANSFORMER = TransformerConfig(
    channels=1,
    patch_size=2,
    widths=(8, 16),
    depths=(2, 1),
    window=3,
    head_dim=8,
    embedding_dim=16,
    step_length=True,
)


@pytest.fixture(autouse=True, scope="module")
def _no_checks_of_shapes():
    """While a graph is traced, sizes are symbols, which the checks of shapes take for wrong."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def drawn_weights(network):
    """Weights of which none is zero, so that every layer has its part in the output."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.2, generator=generator)
    return network.eval().requires_grad_(False)


def with_drawn_weights(opened):
    """The run, with such weights as its saved average."""
    made = opened.config.build()
    drawn_weights(made.weights.average.network)
    opened.save(made, Progress(step=1))
    return opened


def denoiser_of(name):
    discrete = name in TIMESTEPS
    return Denoiser(
        drawn_weights(build(NETWORKS[name])),
        (1, 8, 8),
        normalizer=Normalizer(),
        schedule=SigmoidAlphaBar(20) if discrete else OffsetCosine(),
        objective=Objective("velocity", "velocity", "l2"),
        condition="timestep" if discrete else "log_snr",
    )


@torch.no_grad()
def assert_same(denoiser, model):
    """The model is the denoiser's `denoise`, at two sizes of batch and picture."""
    for batch, height, width in ((1, 8, 8), (5, 7, 13)):
        times = torch.rand(batch, 1, 1, 1).mul(20).ceil() / 20
        given = {}
        if denoiser.abilities.num_classes:
            given["classes"] = torch.randint(0, 4, (batch,))
        if denoiser.abilities.self_conditioning:
            given["previous_images"] = torch.randn(batch, 1, height, width)
        if denoiser.abilities.step_length:
            given["ends"] = denoiser.schedule((times - 0.3).clamp(min=0.05))
        rates = denoiser.schedule(times)
        images = torch.randn(batch, 1, height, width)
        wanted, found = (one(images, *rates, **given) for one in (denoiser.denoise, model))
        for part, other in zip(wanted, found, strict=True):
            assert (part is None) == (other is None)
            if part is not None:
                assert float((part - other).abs().max()) < 1e-4 * max(1, float(part.abs().max()))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_denoise_at_any_batch_and_size(name):
    denoiser = denoiser_of(name)
    assert_same(denoiser, OnnxDenoise(denoise_graph(denoiser, NETWORKS[name]).SerializeToString()))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run with random weights, whose network takes patches as those of our presets do."""
    path = tmp_path_factory.mktemp("runs") / "run"
    return with_drawn_weights(start(path, recipe_changes=("network.patch_size=2",))).path


@pytest.fixture(scope="module")
def exported(saved, tmp_path_factory):
    """Its export, in a folder of its own, as model.onnx."""
    out = tmp_path_factory.mktemp("onnx") / "model.onnx"
    assert run(["export", str(saved), "--to", "onnx", "--out", str(out)]) == 0
    return out


def test_a_network_of_our_presets_is_denoise_at_any_batch_and_size(saved, exported):
    assert_same(Run.open(saved).load(), OnnxDenoise(exported.read_bytes()))


@pytest.fixture(scope="module")
def guided(tmp_path_factory):
    """A run with classes, self-conditioning, guidance, clipping and shifted noise, and its export.

    Its network has one level, which is quick to translate: the others have more.
    """
    changes = (
        "network.widths=[8]",
        'network.attention=["none"]',
        "network.num_classes=3",
        "network.self_conditioning=true",
        "sampling.clip=static",
        "noise_shift=2",
    )
    folder = tmp_path_factory.mktemp("guided")
    opened = start(folder / "run", recipe_changes=(*changes, "sampling.guidance.scale=2"))
    with_drawn_weights(opened)
    assert run(["export", str(opened.path), "--to", "onnx", "--out", str(folder / "model.onnx")]) == 0
    return opened.path


def code_of_the_page(start: str = "python\n") -> str:
    (code,) = re.findall(f"```{start}.*?```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return code.strip("`").partition("\n")[2]


@pytest.mark.parametrize(("order", "sampler"), [(1, "ddim"), (2, "dpmpp_2m")])
@pytest.mark.parametrize("num_steps", [3, 10])
def test_the_loop_of_the_page_draws_the_pictures_of_unnoise(
    saved, exported, order, sampler, num_steps, monkeypatch
):
    monkeypatch.chdir(exported.parent)
    names: dict = {}
    exec(code_of_the_page(), names)  # noqa: S102 (our own page)
    denoiser = Run.open(saved).load()
    noises = denoiser.noises(range(4))()
    sampling = replace(Run.open(saved).config.recipe.sampling, sampler=sampler, num_steps=num_steps)
    wanted = denoiser.generate(initial_noises=noises, sampling=sampling).numpy()
    assert wanted.std() > 0.01
    assert np.abs(names["draw"](noises.numpy(), num_steps, order) - wanted).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("wanted_classes", [[0, 2, 3, 1], None])
def test_the_loop_of_the_page_knows_classes_guidance_and_clipping(guided, wanted_classes, monkeypatch):
    monkeypatch.chdir(guided.parent)
    names: dict = {}
    exec(code_of_the_page(), names)  # noqa: S102 (our own page)
    denoiser = Run.open(guided).load()
    noises = denoiser.noises(range(4))()
    sampling = replace(Run.open(guided).config.recipe.sampling, sampler="dpmpp_2m", num_steps=5)
    classes = None if wanted_classes is None else torch.tensor(wanted_classes)
    wanted = denoiser.generate(initial_noises=noises, sampling=sampling, classes=classes).numpy()
    given = None if classes is None else classes.numpy()
    assert np.abs(names["draw"](noises.numpy(), 5, 2, given) - wanted).max() < 1e-4


@pytest.mark.slow
def test_the_other_loop_of_the_page_draws_with_a_run_that_jumps(tmp_path, monkeypatch):
    """Its network is the transformer, which is compared by itself, too."""
    changes = ("mean_velocity={}", "sampling.sampler=consistency", "sampling.num_steps=2")
    opened = with_drawn_weights(start(tmp_path / "run", recipe_changes=changes, network=TRANSFORMER))
    assert run(["export", str(opened.path), "--to", "onnx", "--out", str(tmp_path / "model.onnx")]) == 0
    monkeypatch.chdir(tmp_path)
    assert_same(opened.load(), OnnxDenoise(Path("model.onnx").read_bytes()))
    names: dict = {}
    exec(code_of_the_page(), names)  # noqa: S102 (our own page)
    exec(code_of_the_page("py\ndef jump"), names)  # noqa: S102
    denoiser = opened.load()
    draw, wanted = (
        denoiser.noises(range(4)),
        denoiser.generate(4, sampling=opened.config.recipe.sampling).numpy(),
    )
    found = names["jump"](draw().numpy(), 2, lambda: draw().numpy())
    assert np.abs(found - wanted).max() < 1e-4
    assert np.abs(names["jump"](draw().numpy(), 1, lambda: 0) - wanted).max() > 0.01


def test_the_code_of_the_page_has_30_lines():
    assert sum(bool(line.strip()) for line in code_of_the_page().splitlines()) <= 30


def test_the_metadata_says_what_the_run_says(saved, exported):
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    facts = json.loads(session.get_modelmeta().custom_metadata_map["unnoise"])
    config = json.loads((saved / "config.json").read_text())
    assert {name: facts[name] for name in ("schedule", "objective", "condition", "sampling")} == {
        name: config["recipe"][name] for name in ("schedule", "objective", "condition", "sampling")
    }
    assert facts["normalizer"] == config["normalizer"]
    assert facts["image_shape"] == [1, 8, 8]
    assert facts["difference"]["largest"] < 0.03
    assert set(facts["rates"]) == {"3", "5", "10", "20", "50"}


def test_weights_take_less_space_and_their_loss_is_told(saved, exported, tmp_path, monkeypatch, capfd):
    model = onnx.load(exported)  # translated once, as that takes long
    monkeypatch.setattr("unnoise.export.onnx.denoise_graph", lambda _denoiser, _config: model)
    found = {"float32": (exported.stat().st_size, 0.03)}
    for weights in ("float16", "bfloat16", "int8"):
        out = tmp_path / f"{weights}.onnx"
        words = ["export", str(saved), "--to", "onnx", "--out", str(out), "--weights", weights]
        assert run(words) == 0
        assert f"Weights in {weights}" in " ".join(capfd.readouterr().err.split())
        session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
        facts = json.loads(session.get_modelmeta().custom_metadata_map["unnoise"])
        found[weights] = out.stat().st_size, facts["difference"]["largest"]
    assert found["int8"][0] < found["float16"][0] == pytest.approx(found["bfloat16"][0], abs=2000)
    assert found["float16"][0] < found["float32"][0]
    assert found["float16"][1] < found["bfloat16"][1]


@pytest.mark.parametrize(("weights", "relative"), [("float16", 2**-11), ("bfloat16", 2**-8), ("int8", 1 / 254)])
def test_stored_weights_are_rounded_to_nearest(weights, relative):
    rng = np.random.default_rng(0)
    values = (
        rng.standard_normal((3, 5, 1, 2)).astype(np.float32) * np.float32([[1], [10], [100]])[..., None, None]
    )
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    node = helper.make_node("Add", ["x", "w"], ["y"])
    ends = [helper.make_tensor_value_info(name, kind, [3, 5, 1, 2]) for name in ("x", "y")]
    graph = helper.make_graph([node], "add", ends[:1], ends[1:], [onnx.numpy_helper.from_array(values, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    stored = store_weights(model, weights).SerializeToString()
    session = onnxruntime.InferenceSession(stored, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.zeros_like(values)})
    scale = np.abs(values).max(axis=(1, 2, 3), keepdims=True) if weights == "int8" else np.abs(values)
    assert (np.abs(found - values) <= 1.001 * relative * scale).all()
    assert np.abs(found - values).max() > 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--to", "onnx", "--out", "model.txt"], "is not a name that ends in .onnx"),
        (["--to", "onyx", "--out", "model.onnx"], "called 'onyx': choose from onnx"),
        (["--to", "onnx", "--out", "m.onnx", "--weights", "int4"], "--weights"),
    ],
)
def test_wrong_options_are_refused(saved, words, sentence, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert run(["export", str(saved), *words]) == 2
    assert sentence in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_without_a_package_the_sentence_names_the_extra(saved, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxscript" else name)
    assert run(["export", str(saved), "--to", "onnx", "--out", str(tmp_path / "m.onnx")]) == 2
    assert "needs onnxscript, which is not installed: run pip install 'unnoise[export]'" in " ".join(
        capfd.readouterr().err.split()
    )
    assert not list(tmp_path.iterdir())


def test_a_run_without_weights_leaves_nothing_behind(tmp_path, capfd):
    opened = start(tmp_path / "run")
    out = tmp_path / "m.onnx"
    assert run(["export", str(opened.path), "--to", "onnx", "--out", str(out)]) == 2
    assert "model.safetensors" in capfd.readouterr().err
    assert not out.exists()


def test_the_runs_own_sampler_is_compared_in_few_steps():
    from unnoise.export.onnx_denoise import comparable

    assert comparable(Sampling(num_steps=250)).num_steps == 20
    assert comparable(Sampling(num_steps=7)) == Sampling(num_steps=7)
