"""A step whose loss or gradient is no number moves nothing, and no other step is changed by asking."""

import copy

import pytest
import torch

from helpers.runs import digits, start
from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.processes import Alone
from unnoise.optim.gradient_guard import Shield

BATCH = 16


def images(step=0):
    return digits().take(torch.arange(step * BATCH, (step + 1) * BATCH).numpy())


def everything(diffusion: Diffusion) -> dict[str, torch.Tensor]:
    """That a step moves."""
    modules = {
        "network": diffusion.network,
        "average": diffusion.average.network,
        "profiles": diffusion.profiles.networks,
    }
    found = {f"{name}.{key}": t for name, module in modules.items() for key, t in module.state_dict().items()}
    for number, memory in diffusion.optimizer.state_dict()["state"].items():
        found |= {f"optimizer.{number}.{key}": torch.as_tensor(t) for key, t in memory.items()}
    found["steps"] = torch.tensor([diffusion.average.steps, diffusion.profiles.steps])
    return {name: tensor.clone() for name, tensor in found.items() if "num_batches" not in name}


def same(left, right) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def no_number(diffusion: Diffusion, value: float, where: str, monkeypatch) -> None:
    """Makes the loss, or the gradient behind a finite loss, this value."""
    if where == "loss":
        losses = diffusion.image_losses
        spoilt = lambda *some, **more: (lambda found: found._replace(losses=found.losses * value))(  # noqa: E731
            losses(*some, **more)
        )
        monkeypatch.setattr(diffusion, "image_losses", spoilt)
    else:
        last = list(diffusion.network.parameters())[-1]
        handle = last.register_hook(lambda gradient: gradient * 0 + value)
        monkeypatch.setattr(diffusion, "heal", handle.remove, raising=False)


def trained(tmp_path, preset="default", changes=(), steps=2) -> Diffusion:
    changes = [*changes, "ema.profiles=[0.1]"]
    diffusion = start(tmp_path / "run", preset=preset, recipe_changes=changes).config.build()
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
def test_a_step_that_is_no_number_moves_nothing(tmp_path, monkeypatch, preset, changes, where):
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
def test_without_waiting_for_the_device_nothing_is_poisoned(tmp_path, monkeypatch, preset, changes):
    """As on CUDA, where the step goes on with a gradient of zeros until somebody reads its norm."""

    def passes(shield, norm):
        shield.silence(norm.isfinite())
        return True

    monkeypatch.setattr(Shield, "passes", passes)
    diffusion = trained(tmp_path, preset, changes, steps=3)
    monkeypatch.undo()
    assert same(everything(diffusion), everything(trained(tmp_path, preset, changes, steps=3)))
    monkeypatch.setattr(Shield, "passes", passes)
    statistics = [b.clone() for b in diffusion.average.source.buffers() if b.is_floating_point()]
    no_number(diffusion, float("nan"), "loss", monkeypatch)
    batch_norms = [m for m in diffusion.network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for module in batch_norms:
        module.register_forward_pre_hook(lambda _, values: (values[0] * float("nan"),))
    assert not diffusion.train_step(images(3)).gradient_norm.isfinite()
    assert all(tensor.isfinite().all() for tensor in everything(diffusion).values())
    kept = [b for b in diffusion.average.source.buffers() if b.is_floating_point()]
    assert all(map(torch.equal, kept, statistics))
    assert bool(batch_norms) == (preset == "keras-ddim")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_silence_is_exact_in_every_precision_and_order_of_memory(dtype):
    network = torch.nn.Conv2d(3, 4, 3).to(dtype).to(memory_format=torch.channels_last)
    shield = Shield(network, torch.optim.SGD(network.parameters(), 0.1))
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
        parameter.grad.flatten()[0] = float("nan")
    before = [parameter.grad.clone() for parameter in network.parameters()]
    shield.silence(torch.tensor(True))
    for parameter, old in zip(network.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.grad, old, rtol=0, atol=0, equal_nan=True)
    shield.silence(torch.tensor(False))
    assert all((parameter.grad == 0).all() for parameter in network.parameters())


def test_the_norm_is_that_of_the_whole_gradient_before_it_is_shortened(tmp_path):
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


def test_what_another_process_says_counts(tmp_path):
    diffusion = trained(tmp_path)
    before = everything(diffusion)

    class Two(Alone):
        def mean(self, values):
            return (values + float("nan")) / 2

    diffusion.processes = Two()
    assert diffusion.train_step(images(2)).gradient_norm.isnan()
    assert same(everything(diffusion), before)


def test_losses_that_are_no_numbers_are_not_remembered(tmp_path, monkeypatch):
    levels = 'noise_levels={"kind": "LossAware", "num_slices": 2, "memory": 1, "uniform": 0.1}'
    diffusion = trained(tmp_path, changes=[levels])
    before = copy.deepcopy(diffusion.loss_history.state_dict())
    with monkeypatch.context() as fault:
        no_number(diffusion, float("nan"), "loss", fault)
        diffusion.train_step(images(2))
    assert same(diffusion.loss_history.state_dict(), before)
    assert diffusion.train_step(images(2)).loss.isfinite()
