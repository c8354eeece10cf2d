"""Pipelines of diffusers as runs: they draw the same pictures, and go on as other runs do."""

import json
import shutil

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from safetensors.torch import load_file, save_file

from helpers.command_line import ok, refused
from helpers.pipelines import SEEDS, drawn, edit, saved
from unnoise.reports.settings import train_command
from unnoise.runs.checkpoint import Run

PAPER = {
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "downsample_padding": 0,
    "norm_eps": 1e-6,
    "attention_head_dim": None,
}
BETAS = [0.002 * k for k in range(1, 101)]
PIPELINES = {
    "ddpm": {"scheduler": DDPMScheduler()},
    "as the models of the DDPM paper": {
        "scheduler": DDPMScheduler(variance_type="fixed_large"),
        "flat": True,
        "in_channels": 3,
        "out_channels": 3,
        **PAPER,
    },
    "pair": {"scheduler": DDPMScheduler(timestep_spacing="trailing"), "sample_size": (8, 12)},
    "ddim": {"scheduler": DDIMScheduler(), "ddim": True},
    "ddim of a ddpm": {"scheduler": DDPMScheduler(beta_schedule="squaredcos_cap_v2"), "ddim": True},
    "ddim in a ddpm pipeline": {"scheduler": DDIMScheduler(prediction_type="sample", clip_sample=False)},
    "velocity": {"scheduler": DDIMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True)},
    "trained betas": {"scheduler": DDPMScheduler(100, trained_betas=BETAS)},
    "sigmoid": {"scheduler": DDPMScheduler(beta_schedule="sigmoid", num_train_timesteps=200)},
    "thresholding": {"scheduler": DDPMScheduler(thresholding=True, sample_max_value=1.0)},
    "dpm-solver": {
        "scheduler": DPMSolverMultistepScheduler(
            prediction_type="v_prediction", timestep_spacing="trailing", beta_start=1e-4
        )
    },
}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in diffusers, with NumPy 2
@pytest.mark.parametrize("options", PIPELINES.values(), ids=PIPELINES.keys())
def test_an_imported_run_draws_what_the_pipeline_draws(tmp_path, options):
    folder = saved(tmp_path / "pipeline", **options)
    ok("import", folder, "--out", tmp_path / "run")
    run = Run.open(tmp_path / "run")
    sampling = run.config.recipe.changed(["sampling.num_steps=10"]).sampling
    ours = run.load().generate(len(SEEDS), seed=SEEDS[0], sampling=sampling)
    assert ((ours > 0.02) & (ours < 0.98)).float().mean() > 0.1
    torch.testing.assert_close(ours, drawn(folder, 10), atol=1e-4, rtol=0)


def test_older_names_of_options_and_weights_are_read(tmp_path):
    folder = saved(tmp_path / "pipeline", flat=True, **PAPER)
    ok("import", folder, "--out", tmp_path / "run")
    weights = load_file(folder / "diffusion_pytorch_model.safetensors")
    for newer, older in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
        weights = {name.replace(f".{newer}.", f".{older}."): one.clone() for name, one in weights.items()}
    weights = {name.replace("mid_block.", "mid."): one for name, one in weights.items()}
    save_file(weights, folder / "diffusion_pytorch_model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    blocks = ["UNetRes" + name for name in config.pop("down_block_types")]
    size, shift = config.pop("sample_size"), config.pop("freq_shift")
    older = config | {"down_blocks": blocks, "image_size": size, "downscale_freq_shift": shift}
    (folder / "config.json").write_text(json.dumps(older))
    gone = {"num_train_timesteps": None, "prediction_type": None}
    edit(folder / "scheduler_config.json", **gone, timesteps=1000, predict_epsilon=True)
    ok("import", folder, "--out", tmp_path / "older")
    mine, its = (Run.open(tmp_path / name) for name in ("run", "older"))
    assert its.config.recipe == mine.config.recipe
    state = mine.load().network.state_dict()
    assert all(torch.equal(state[name], one) for name, one in its.load().network.state_dict().items())


def test_half_precision_and_several_files_of_weights_are_read(tmp_path):
    folder = saved(tmp_path / "pipeline")
    single = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = {name: tensor.half() for name, tensor in load_file(single).items()}
    single.unlink()
    save_file(weights, folder / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    ok("import", folder, "--out", tmp_path / "half")
    names = sorted(weights)
    for part, chosen in enumerate((names[::2], names[1::2]), start=1):
        some = {name: weights[name] for name in chosen}
        save_file(some, folder / "unet" / f"diffusion_pytorch_model-0000{part}-of-00002.safetensors")
    ok("import", folder, "--out", tmp_path / "parts")
    for name in ("half", "parts"):
        state = Run.open(tmp_path / name).load().network.state_dict()
        assert all(torch.equal(state[key], weights[key].float()) for key in names)


def test_an_imported_run_is_edited_evaluated_and_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ok("import", saved(tmp_path / "pipeline"), "--out", "run")
    ok("info", "run")
    assert "none yet, 8 x 8" in capsys.readouterr().out
    assert train_command(Run.open(tmp_path / "run").config).endswith("--out RUN")
    before = Run.open(tmp_path / "run").load().network.state_dict()
    ok("generate", "run", "--num-images", 2, "--num-steps", 3, "--out", "drawn")
    picture = next((tmp_path / "drawn").glob("*.png"))
    ok("invert", "run", picture, "--num-steps", 3)
    ok("inpaint", "run", picture, "--num-steps", 3)
    assert "has no pictures of its own" in refused(capsys, "evaluate", "run", "--bits-per-dim")
    ok("evaluate", "run", "digits", "--bits-per-dim", "--num-images", 4, "--num-steps", 4, "--num-terms", 2)
    ok("train", "digits", "--out", "run", "--resume", "--steps", 2, "--set", "sampling.num_steps=1000")
    run = Run.open(tmp_path / "run")
    assert run.config.data.fingerprint
    assert run.config.data.held_out == 89
    after = run.load().network.state_dict()
    largest = max(float((after[name] - before[name]).abs().max()) for name in before)
    assert 0 < largest < 1e-3  # it went on from these weights
    assert "unnoise train digits" in train_command(run.config)
    ok("evaluate", "run", "--bits-per-dim", "--num-images", 4, "--num-steps", 4, "--num-terms", 2)
    ok("export", "run", "--to", "diffusers", "--out", "back")
    ok("train", "digits", "--out", "tuned", "--init", "run", "--steps", 1)


def broken(folder, how):
    unet, scheduler = folder / "unet" / "config.json", folder / "scheduler" / "scheduler_config.json"
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    match how:
        case "empty":
            shutil.rmtree(folder)
            folder.mkdir()
        case "no scheduler":
            shutil.rmtree(folder / "scheduler")
        case "no network":
            shutil.rmtree(folder / "unet")
        case "no weights":
            weights.unlink()
        case "pickle":
            torch.save(load_file(weights), weights.with_suffix(".bin"))
            weights.unlink()
        case "damaged":
            weights.write_bytes(weights.read_bytes()[:-9])
        case "other weights":
            save_file({"a": torch.zeros(1)}, weights)
        case "not finite":
            save_file({name: one * torch.nan for name, one in load_file(weights).items()}, weights)
        case "json":
            unet.write_text("{")
        case (file, changes):
            place = {"index": folder / "model_index.json", "unet": unet, "scheduler": scheduler}[file]
            edit(place, **changes)


BROKEN = (
    ("empty", "is no pipeline of diffusers (it has no model_index.json)"),
    ("no scheduler", "has no scheduler"),
    ("no network", "has no network"),
    ("no weights", "has no weights"),
    ("pickle", "never opens pickles"),
    ("damaged", "is damaged"),
    ("other weights", "does not fit the network"),
    ("not finite", "infinity"),
    ("json", "is damaged"),
    (("index", {"vqvae": ["diffusers", "VQModel"]}), "is a pipeline of latents (vqvae)"),
    (("index", {"_class_name": "LDMPipeline"}), "is a LDMPipeline of diffusers"),
    (("index", {"adapter": ["diffusers", "Adapter"]}), "has parts that no DDPMPipeline has: adapter"),
    (("unet", {"_class_name": "UNet2DConditionModel"}), "one of a UNet2DConditionModel"),
    (("unet", {"colour": 1}), "has no option colour"),
    (("unet", {"class_embed_type": "timestep"}), "supports only class_embed_type None"),
    (("unet", {"sample_size": None}), "give it by --size"),
    (("unet", {"sample_size": "big"}), "a number of pixels or a pair of them"),
    (("unet", {"in_channels": 6, "out_channels": 6}), "Pictures have 1 to 4 channels"),
    (("unet", {"layers_per_block": "two"}), "wrong type"),
    (("unet", {"block_out_channels": 8}), "wrong type"),
    (("scheduler", {"_class_name": "PNDMScheduler"}), "is the config of PNDMScheduler"),
    (("scheduler", {"colour": 1}), "has an unknown option colour"),
    (("scheduler", {"variance_type": "learned_range"}), "has variance_type 'learned_range'"),
    (("scheduler", {"prediction_type": "flow_prediction"}), "has prediction_type 'flow_prediction'"),
    (("scheduler", {"beta_schedule": "laplace"}), "has beta_schedule 'laplace'"),
    (("scheduler", {"clip_sample_range": 2.0}), "has clip_sample_range 2.0"),
    (("scheduler", {"num_train_timesteps": "many"}), "wrong type"),
    (("scheduler", {"beta_start": [1]}), "wrong type"),
    (("scheduler", {"trained_betas": [0.1]}), "needs 2 to"),
    (("scheduler", {"trained_betas": [0.1, 2.0]}), "above 0 and at most 1"),
)


@pytest.mark.parametrize(("how", "sentence"), BROKEN, ids=[str(how) for how, _ in BROKEN])
def test_other_folders_are_refused_in_one_sentence(tmp_path, capsys, how, sentence):
    folder = saved(tmp_path / "pipeline")
    broken(folder, how)
    assert sentence in refused(capsys, "import", folder, "--out", tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["pipeline"]


def test_a_size_that_the_network_does_not_say_is_given(tmp_path):
    folder = saved(tmp_path / "pipeline")
    edit(folder / "unet" / "config.json", sample_size=None)
    ok("import", folder, "--out", tmp_path / "run", "--size", "8x16")
    assert Run.open(tmp_path / "run").config.data.image_shape == (1, 8, 16)


def test_an_import_does_not_overwrite_a_run(tmp_path, capsys):
    folder = saved(tmp_path / "pipeline")
    ok("import", folder, "--out", tmp_path / "run")
    assert "already holds a run" in refused(capsys, "import", folder, "--out", tmp_path / "run")
