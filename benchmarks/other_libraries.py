"""Other diffusion libraries as contenders: trained as in their own examples, sampled by their own samplers.

Settings are those of each library's documentation. Learning rates and batch sizes that would be too slow for
minutes on a CPU differ, as docs/time_to_quality.md says. Those that offer mixed precision (through Accelerate)
train in bfloat16 where their steps are faster so. Of each library's samplers of at most 30 calls the best
stands first, or one of fewer calls that is as good (`python -m benchmarks.peer_samplers`).
"""

from collections.abc import Mapping
from time import perf_counter
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.diffusers_models import build_unet
from unnoise.data import ImageSet
from unnoise.data.batches import Batches

BATCH = 64
_WARMUP = 0.05


class OtherLibrary:
    """What the other libraries share: batches of pictures, and a choice of samplers."""

    batch_size = BATCH
    samplers: ClassVar[Mapping[str, tuple[int, dict[str, Any]]]]
    """Network calls and options by name; the first is the default."""
    network: Any

    def __init__(self, images: ImageSet, seed: int) -> None:
        self.shape = (images.channels, images.height, images.width)
        self.use(next(iter(self.samplers)))
        self._batches, self._step = Batches(images, np.arange(len(images)), BATCH, seed), 0
        self._half = False
        torch.manual_seed(seed)

    def mixed_precision(self) -> torch.autocast:
        """What Accelerate wraps a forward pass in with `mixed_precision="bf16"`, where that was chosen."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self._half)

    def loss(self, images: Tensor) -> Tensor:
        """Its training loss on these pictures, with noise and noise levels of its own."""
        raise NotImplementedError

    def choose_precision(self) -> None:
        """Bfloat16 where passes forward and backward are faster in it, by the best of two in turns."""
        seconds: dict[bool, list[float]] = {False: [], True: []}
        images = torch.zeros(self.batch_size, *self.shape)
        with torch.random.fork_rng(devices=[]):
            for _ in range(3):
                for self._half, each in seconds.items():
                    began = perf_counter()
                    self.loss(images).backward()  # type: ignore[no-untyped-call]
                    each.append(perf_counter() - began)
        self.network.zero_grad()
        self._half = min(seconds[True][1:]) < min(seconds[False][1:])

    def next_batch(self) -> Tensor:
        """The next pictures, floats in [0, 1]."""
        self._step += 1
        return self._batches[self._step - 1].float() / 255

    def use(self, sampler: str) -> None:
        """Chooses one of `samplers`."""
        self.sampler = sampler
        self.calls, self.options = self.samplers[sampler]

    @property
    def side(self) -> int:
        """Side of the pictures, which are square."""
        return self.shape[1]


class Lucidrains(OtherLibrary):
    """`Unet` in `GaussianDiffusion`, trained as by `Trainer`: velocity, Adam, clipping, EMA; DDIM."""

    samplers: ClassVar = {
        "DDIM, 25 steps": (25, {"eta": 0.0}),
        "DDIM, 30 steps": (30, {"eta": 0.0}),
        "DDIM, 30 steps, eta 1": (30, {"eta": 1.0}),
    }
    # Loss after 60 steps of 32 pictures of 16 x 16: 0.31 with 1e-4, 0.24 with 3e-4, 0.20 with 1e-3.
    learning_rate = 1e-3

    def __init__(self, images: ImageSet, minutes: float, seed: int) -> None:
        super().__init__(images, seed)
        from denoising_diffusion_pytorch import GaussianDiffusion, Unet
        from denoising_diffusion_pytorch import denoising_diffusion_pytorch as module
        from ema_pytorch import EMA

        module.tqdm = lambda items, **_: items  # its progress bars would hide ours
        unet = Unet(self.side, dim_mults=(1, 2, 4), channels=images.channels, resnet_block_groups=4)
        self.network = GaussianDiffusion(
            unet, image_size=self.side, timesteps=1000, sampling_timesteps=self.calls
        )
        self.optimizer = torch.optim.Adam(self.network.parameters(), self.learning_rate, (0.9, 0.99))
        self._average: Any = EMA(self.network, beta=0.995, update_every=10)
        self.choose_precision()

    def loss(self, images: Tensor) -> Tensor:
        """Of `GaussianDiffusion`, for pictures in [0, 1]."""
        with self.mixed_precision():
            loss: Tensor = self.network(images)
        return loss

    def step(self, spent: float) -> None:
        """As `Trainer` does it, at a constant learning rate."""
        loss = self.loss(self.next_batch())
        loss.item()  # `Trainer` reads it after each step
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._average.update()

    def weights(self) -> Mapping[str, Tensor]:
        """Averaged weights."""
        found: Mapping[str, Tensor] = self._average.ema_model.state_dict()
        return found

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Loads averaged weights."""
        self._average.ema_model.load_state_dict(weights)

    def draw(self, count: int, seed: int) -> Tensor:
        """Samples by its own DDIM."""
        diffusion = self._average.ema_model.eval()
        diffusion.sampling_timesteps, diffusion.ddim_sampling_eta = self.calls, self.options["eta"]
        images: Tensor = diffusion.sample(batch_size=count)
        return images


class Diffusers(OtherLibrary):
    """`UNet2DModel`, trained as in train_unconditional.py: noise, AdamW, warm-up, cosine, clipping, EMA."""

    samplers: ClassVar = {
        "DPM-Solver++ 2M SDE, 30 steps": (
            30,
            {"scheduler": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++"},
        ),
        "DPM-Solver++ 2M, 15 steps": (15, {"scheduler": "DPMSolverMultistepScheduler"}),
        "DPM-Solver++ 2M, 25 steps, Karras": (
            25,
            {"scheduler": "DPMSolverMultistepScheduler", "use_karras_sigmas": True},
        ),
        "DPM-Solver++ 2M, 25 steps, thresholds": (
            25,
            {"scheduler": "DPMSolverMultistepScheduler", "thresholding": True},
        ),
        "UniPC, 25 steps": (25, {"scheduler": "UniPCMultistepScheduler"}),
        "DDIM, 30 steps": (30, {"scheduler": "DDIMScheduler"}),
        "DDPM, 30 steps": (30, {"scheduler": "DDPMScheduler"}),
    }
    # Loss after 60 steps of 32 pictures of 16 x 16: 0.22 with 1e-4, 0.16 with 3e-4, 0.13 with 1e-3.
    learning_rate = 1e-3

    def __init__(self, images: ImageSet, minutes: float, seed: int) -> None:
        super().__init__(images, seed)
        from diffusers import DDPMScheduler
        from diffusers.training_utils import EMAModel

        self.network = build_unet(side=self.side, channels=images.channels, seed=seed).train()
        self._scheduler: Any = DDPMScheduler(1000)
        parameters = list(self.network.parameters())
        self.optimizer = torch.optim.AdamW(
            parameters, self.learning_rate, (0.95, 0.999), weight_decay=1e-6, eps=1e-8
        )
        self._average: Any = EMAModel(parameters, decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
        self.choose_precision()

    def loss(self, images: Tensor) -> Tensor:
        """Of the noise, for pictures in [-1, 1]."""
        noise, times = torch.randn(images.shape), torch.randint(0, 1000, (len(images),)).long()
        noisy = self._scheduler.add_noise(images, noise, times)
        with self.mixed_precision():
            predicted = self.network(noisy, times).sample
        return functional.mse_loss(predicted.float(), noise)

    def step(self, spent: float) -> None:
        """As its script does it, with a learning rate that follows seconds instead of steps."""
        rise, fall = spent / _WARMUP, (1 + float(np.cos(np.pi * (spent - _WARMUP) / (1 - _WARMUP)))) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * (max(rise, 0.01) if spent < _WARMUP else fall)
        self.loss(self.next_batch() * 2 - 1).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._average.step(self.network.parameters())

    def weights(self) -> Mapping[str, Tensor]:
        """Averaged weights, by parameter name."""
        names = [name for name, _ in self.network.named_parameters()]
        return dict(zip(names, self._average.shadow_params, strict=True))

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Loads averaged weights into the network, which is not trained any more."""
        self.network.load_state_dict(weights)

    def draw(self, count: int, seed: int) -> Tensor:
        """Samples by one of its schedulers."""
        import diffusers

        options = dict(self.options)
        solver = getattr(diffusers, options.pop("scheduler")).from_config(self._scheduler.config, **options)
        self.network.eval()
        images = torch.randn(count, *self.shape)
        solver.set_timesteps(self.calls)
        for time in solver.timesteps:
            images = solver.step(self.network(images, time).sample, time, images).prev_sample
        return images / 2 + 0.5


class SmallDiffusion(OtherLibrary):
    """`Unet` with scaled input, trained as in fashion_mnist_unet.py: noise, log-linear sigmas, AdamW, EMA."""

    samplers: ClassVar = {
        "samples(gam=1, mu=0.5), 30 steps": (30, {"gam": 1.0, "mu": 0.5}),
        "samples(gam=1.6), 20 steps": (20, {"gam": 1.6}),
        "samples(gam=1), 20 steps": (20, {"gam": 1.0}),
        "samples(gam=2), 20 steps": (20, {"gam": 2.0}),
        "samples(gam=1.6), 30 steps": (30, {"gam": 1.6}),
    }
    learning_rate = 7e-4

    def __init__(self, images: ImageSet, minutes: float, seed: int) -> None:
        super().__init__(images, seed)
        from smalldiffusion import Scaled, ScheduleLogLinear, Unet

        channels, attention = images.channels, (self.side // 2,)
        self.network = Scaled(Unet)(
            self.side, channels, channels, ch=64, ch_mult=(1, 1, 2), attn_resolutions=attention
        )
        self._schedule: Any = ScheduleLogLinear(sigma_min=0.01, sigma_max=20, N=800)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), self.learning_rate)
        self._average: Any = torch.optim.swa_utils.AveragedModel(self.network, avg_fn=_as_torch_ema)
        self.choose_precision()

    def loss(self, images: Tensor) -> Tensor:
        """Of the noise, for pictures in [-1, 1]."""
        from smalldiffusion import generate_train_sample

        images, sigmas, noises, _ = generate_train_sample(images, self._schedule)
        with self.mixed_precision():
            loss: Tensor = type(self.network).get_loss(self.network, images, sigmas, noises, cond=None)
        return loss

    def step(self, spent: float) -> None:
        """As `training_loop` does it."""
        self.network.train()
        self.optimizer.zero_grad()
        loss = self.loss(self.next_batch() * 2 - 1)
        loss.item()  # its example reads it after each step
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self._average.update_parameters(self.network)

    def weights(self) -> Mapping[str, Tensor]:
        """Averaged weights."""
        found: Mapping[str, Tensor] = self._average.module.state_dict()
        return found

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Loads averaged weights."""
        self._average.module.load_state_dict(weights)

    def draw(self, count: int, seed: int) -> Tensor:
        """Samples by its own sampler."""
        from accelerate import Accelerator
        from smalldiffusion import samples

        sigmas, here = self._schedule.sample_sigmas(self.calls), Accelerator(cpu=True)
        *_, images = samples(self._average.module, sigmas, batchsize=count, accelerator=here, **self.options)
        drawn: Tensor = (images + 1) / 2
        return drawn


def _as_torch_ema(average: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
    """Its example's `torch_ema` of 0.999, which begins with min(0.999, (1 + n) / (10 + n))."""
    count = int(updates)
    return torch.lerp(average, current, 1 - min(0.999, (1 + count) / (10 + count)))
