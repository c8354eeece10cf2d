"""Weight update: a step whose loss or gradient is not finite changes nothing, and no other step is changed."""

import copy

import pytest
import torch

from helpers.runs import digits, start
from unnoise.diffusion.diffusion import Diffusion
from unnoise.optim.ema import EMAConfig
from unnoise.optim.optimizers import OptimizerConfig
from unnoise.optim.weight_update import WeightUpdate

BATCH = 16


def images(step=0):
    return digits().take(torch.arange(step * BATCH, (step + 1) * BATCH).numpy())


def everything(diffusion: Diffusion) -> dict[str, torch.Tensor]:
    """Everything that a step changes."""
    modules = {
        "network": diffusion.network,
        "average": diffusion.weights.average.network,
        "profiles": diffusion.weights.profiles.networks,
    }
    found = {f"{name}.{key}": t for name, module in modules.items() for key, t in module.state_dict().items()}
    for number, memory in diffusion.weights.optimizer.state_dict()["state"].items():
        found |= {f"optimizer.{number}.{key}": torch.as_tensor(t) for key, t in memory.items()}
    found["steps"] = torch.tensor([diffusion.weights.average.steps, diffusion.weights.profiles.steps])
    return {name: tensor.clone() for name, tensor in found.items() if "num_batches" not in name}


def same(left, right) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def no_number(diffusion: Diffusion, value: float, where: str, monkeypatch) -> None:
    """Makes the loss, or the gradient behind a finite loss, this value."""
    if where == "loss":
        losses = diffusion.losses

        def spoilt(*some, **more):
            loss, found = losses(*some, **more)
            return loss * value, found._replace(losses=found.losses * value)

        monkeypatch.setattr(diffusion, "losses", spoilt)
    else:
        last = list(diffusion.network.parameters())[-1]
        handle = last.register_hook(lambda gradient: gradient * 0 + value)
        monkeypatch.setattr(diffusion, "heal", handle.remove, raising=False)


def trained(tmp_path, preset="default", changes=(), steps=2, *, host_sync=True) -> Diffusion:
    changes = [*changes, "ema.profiles=[0.1]"]
    diffusion = start(tmp_path / "run", preset=preset, recipe_changes=changes).config.build()
    diffusion.weights.host_sync = host_sync
    for step in range(steps):
        diffusion.generator.manual_seed(step)
        diffusion.train_step(images(step))
    return diffusion


PRESETS = [
    ("default", []),
    ("default", ["optimizer.name=adamw"]),
    ("default", ["optimizer.name=rmsprop", "optimizer.max_gradient_norm=null"]),
    ("keras-ddim", []),
]


@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize(("preset", "changes"), PRESETS)
def test_a_step_that_is_not_finite_changes_nothing(tmp_path, monkeypatch, preset, changes, where):
    diffusion = trained(tmp_path, preset, changes)
    before = everything(diffusion)
    with monkeypatch.context() as fault:
        no_number(diffusion, float("nan") if where == "loss" else float("inf"), where, fault)
        result = diffusion.train_step(images(2))
        if where == "gradient":
            assert result.loss.isfinite()
            diffusion.heal()
    assert not result.gradient_norm.isfinite()
    assert same(everything(diffusion), before)
    diffusion.generator.manual_seed(2)
    assert diffusion.train_step(images(2)).gradient_norm.isfinite()
    after, unharmed = everything(diffusion), trained(tmp_path, preset, changes, steps=3)
    assert same(after, everything(unharmed))


@pytest.mark.parametrize(("preset", "changes"), PRESETS)
def test_without_host_sync_all_weights_stay_finite(tmp_path, monkeypatch, preset, changes):
    """As on CUDA, where the step goes on with a gradient of zeros until the norm is read."""
    diffusion = trained(tmp_path, preset, changes, steps=3, host_sync=False)
    assert same(everything(diffusion), everything(trained(tmp_path, preset, changes, steps=3)))
    statistics = [b.clone() for b in diffusion.weights.average.source.buffers() if b.is_floating_point()]
    no_number(diffusion, float("nan"), "loss", monkeypatch)
    batch_norms = [m for m in diffusion.network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for module in batch_norms:
        module.register_forward_pre_hook(lambda _, values: (values[0] * float("nan"),))
    assert not diffusion.train_step(images(3)).gradient_norm.isfinite()
    assert all(tensor.isfinite().all() for tensor in everything(diffusion).values())
    kept = [b for b in diffusion.weights.average.source.buffers() if b.is_floating_point()]
    assert all(map(torch.equal, kept, statistics))
    assert bool(batch_norms) == (preset == "keras-ddim")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("finite", [True, False])
def test_a_step_without_host_sync_keeps_or_cancels_the_gradient_exactly(dtype, finite):
    """In every precision and memory format; the loss is not finite where the gradient has a nan."""
    network = torch.nn.Conv2d(3, 4, 3).to(dtype).to(memory_format=torch.channels_last)
    update = WeightUpdate(network, OptimizerConfig(), EMAConfig())
    update.host_sync = False
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    before = [parameter.grad.clone() for parameter in network.parameters()]
    if not finite:
        network.weight.grad[0, 0, 0, 0] = float("nan")
    update.step(torch.tensor(1.0))
    for parameter, old in zip(network.parameters(), before, strict=True):
        assert torch.equal(parameter.grad, old if finite else torch.zeros_like(old))


def test_the_reported_norm_is_of_the_whole_gradient_before_clipping(tmp_path):
    for longest in ("null", "1e-3"):
        diffusion = trained(tmp_path, changes=[f"optimizer.max_gradient_norm={longest}"], steps=0)
        norm = diffusion.train_step(images()).gradient_norm
        found = torch.cat([p.grad.flatten() for p in diffusion.network.parameters()]).norm()
        if longest == "null":
            unshortened = norm
            torch.testing.assert_close(norm, found)
        else:
            torch.testing.assert_close(norm, unshortened)
            torch.testing.assert_close(found, torch.tensor(1e-3), rtol=1e-3, atol=0)


def test_a_step_that_fails_in_another_process_changes_nothing(tmp_path):
    diffusion = trained(tmp_path)
    before = everything(diffusion)

    class OtherIsNan:
        size = 2

        def backward(self, loss):
            loss.backward()

        def mean(self, values):
            return (values + float("nan")) / 2

    diffusion.weights.group = OtherIsNan()
    assert diffusion.train_step(images(2)).gradient_norm.isnan()
    assert same(everything(diffusion), before)


def test_losses_that_are_not_finite_are_not_recorded_in_the_loss_history(tmp_path, monkeypatch):
    levels = 'noise_levels={"kind": "LossAware", "num_slices": 2, "memory": 1, "uniform": 0.1}'
    diffusion = trained(tmp_path, changes=[levels])
    before = copy.deepcopy(diffusion.loss_history.state_dict())
    with monkeypatch.context() as fault:
        no_number(diffusion, float("nan"), "loss", fault)
        diffusion.train_step(images(2))
    assert same(diffusion.loss_history.state_dict(), before)
    assert diffusion.train_step(images(2)).loss.isfinite()
