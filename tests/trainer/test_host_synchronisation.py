"""A training step makes the host wait for no device: it reads nothing, and copies without blocking."""

from dataclasses import replace

import pytest
import torch

from helpers.runs import digits, start
from helpers.waiting import Waits, pretend_device
from unnoise.data.batches import Batches, Prefetcher
from unnoise.diffusion.noise_levels import LossAware, LossHistory
from unnoise.diffusion.seeds import host_coin, host_seed
from unnoise.runs.config import RunConfig

CHAIN = 'schedule={"kind":"LinearBeta","num_timesteps":50}'
RECIPES = [
    [],
    ["network.self_conditioning=true"],
    ["network.dropout=0.2"],
    ["network.num_classes=10"],
    ['noise_levels={"kind":"LossAware","num_slices":4,"memory":2}'],
    [CHAIN, "condition=timestep"],
    [CHAIN, "network.learned_variance=true", 'noise_levels={"kind":"UniformTimes","stratified":true}'],
    ['objective.weighting={"kind":"MinSNR"}', "offset_noise=0.1", "normalization=imagenet"],
    ["network.uncertainty=true", "network.normalization=batch", 'network.attention=["none","linear"]'],
    ["optimizer.name=adamw", "ema.profiles=[0.05,0.1]", "ema.warmup=null"],
    ["optimizer.name=adam"],
    ["optimizer.name=rmsprop", "optimizer.max_gradient_norm=null"],
    ["network.block=convnext", "network.embedding=input"],
    ["network.block=resnet", "network.upsampling=bilinear", "network.modulation=add"],
]


def config(folder, changes) -> RunConfig:
    return start(folder, recipe_changes=changes).config


@pytest.mark.parametrize("changes", RECIPES, ids=lambda changes: " ".join(changes) or "default")
def test_a_training_step_waits_for_no_device(tmp_path, monkeypatch, changes):
    planned = config(tmp_path / "run", changes)
    diffusion = planned.build(pretend_device(monkeypatch))
    images = digits().take(range(8))
    classes = torch.arange(8) if "network.num_classes=10" in changes else None
    diffusion.train_step(images, classes)  # tables go to the device now
    with Waits() as waits:
        for accumulate in (1, 3):
            result = diffusion.train_step(images, classes, accumulate=accumulate)
    assert waits.found == []
    assert result.loss.device.type == result.gradient_norm.device.type == "meta"


def test_what_would_wait_is_noticed(monkeypatch):
    """Or the test above would prove nothing."""
    device = pretend_device(monkeypatch)
    with Waits() as waits:
        torch.ones(2).to(device)
        torch.zeros(2, device=device).copy_(torch.ones(2))
        torch.zeros(2, device=device).new_tensor([1.0, 2.0])
        torch.ones(2).to(device, non_blocking=True)
    told = ["_to_copy from cpu to meta", "copy_ from cpu to meta", "numbers to meta"]
    assert waits.found == told
    with Waits(), pytest.raises(RuntimeError):
        torch.zeros((), device=device).item()
    with Waits(), pytest.raises(RuntimeError):
        torch.zeros(2, device=device).cpu()


def recorded_one_by_one(history: LossHistory, times: torch.Tensor, losses: torch.Tensor) -> None:
    """What `LossHistory.record` computes at once."""
    count, memory = history.losses.shape
    for place, loss in zip((times.flatten() * count).long().clamp(0, count - 1), losses, strict=True):
        if loss.isfinite():
            history.losses[place, history.counts[place] % memory] = loss
            history.counts[place] += 1


@pytest.mark.parametrize(("slices", "memory"), [(1, 1), (3, 4), (8, 2), (64, 10)])
def test_the_loss_history_is_that_of_one_loss_after_the_other(slices, memory):
    """Also where a batch has more losses of a slice than it remembers, and where some are not finite."""
    fast, slow = (LossHistory(LossAware(slices, memory)) for _ in range(2))
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        count = int(torch.randint(1, 60, (), generator=generator))
        times, losses = torch.rand(count, generator=generator), torch.rand(count, generator=generator)
        losses[torch.rand(count, generator=generator) < 0.1] = float("nan")
        fast.record(times.view(-1, 1, 1, 1), losses)
        recorded_one_by_one(slow, times, losses)
        assert torch.equal(fast.losses, slow.losses)
        assert torch.equal(fast.counts, slow.counts)


def test_numbers_of_the_host_differ_from_step_to_step_and_follow_from_the_seed(monkeypatch):
    device = pretend_device(monkeypatch)
    drawn = []
    for seed in (1, 1, 2):
        generator = torch.Generator(device).manual_seed(seed)
        states = []
        for _ in range(64):
            generator.manual_seed(seed + 100 * len(states))  # a GPU's moves on with what is drawn there
            states.append(host_seed(generator))
        assert len(set(states)) == 64
        assert all(0 <= state < 2**62 for state in states)
        drawn.append(states)
    assert drawn[0] == drawn[1] != drawn[2]
    tosses = [host_coin(torch.Generator(device).manual_seed(seed)) for seed in range(400)]
    assert 150 < sum(tosses) < 250


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("changes", RECIPES, ids=lambda changes: " ".join(changes) or "default")
def test_cuda_is_never_waited_for(tmp_path, changes, precision):
    """By the word of PyTorch, which raises an error where it is."""
    planned = replace(config(tmp_path / "run", changes), precision=precision)
    diffusion, images = planned.build("cuda"), digits()
    batches = Batches(images, planned.split(images).training, 16, 0)
    classes = torch.arange(16).pin_memory() if "network.num_classes=10" in changes else None
    with Prefetcher(batches, diffusion.denoiser.device) as prefetched:
        for step in range(5):
            pictures, _ = prefetched(step)
            torch.cuda.set_sync_debug_mode("error" if step > 2 else "default")  # memory is taken at first
            try:
                diffusion.generator.manual_seed(step)
                result = diffusion.train_step(pictures, classes)
            finally:
                torch.cuda.set_sync_debug_mode("default")
    assert result.loss.isfinite()
