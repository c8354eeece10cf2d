"""What was seen in the steps before tells how the noise changes: more exact steps for the same calls."""

from collections import deque
from collections.abc import Callable, Iterator

import torch

from unnoise.diffusion.samplers.flow import along
from unnoise.diffusion.samplers.grid import Times, rates_at, time_grid
from unnoise.diffusion.schedules import OffsetCosine, Schedule
from unnoise.diffusion.tensors import Denoise, Images, Prediction, mix
from unnoise.utils.errors import require

ADAMS_BASHFORTH: tuple[tuple[float, ...], ...] = (
    (1,),
    (-1 / 2, 3 / 2),
    (5 / 12, -16 / 12, 23 / 12),
    (-9 / 24, 37 / 24, -59 / 24, 55 / 24),
    (251 / 720, -1274 / 720, 2616 / 720, -2774 / 720, 1901 / 720),
)
"""For each order the weights of what was seen last, the newest at the end: where all steps are equal, they
integrate the polynomial through it over the next one."""


def multistep(
    denoise: Denoise,
    noises: Images,
    num_steps: int = 20,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    order: int = 2,
    times: Times | None = None,
    draw_noises: Callable[[], Images] | None = None,
) -> Iterator[Prediction]:
    r"""The linear multistep method of Adams and Bashforth (PNDM, 2202.09778), on t = 1, 1 - 1/K, ..., 1/K.

        mean of eps = c_1 eps_k + c_2 eps_{k-1} + ... + c_m eps_{k-m+1}

    One call of `denoise` a step, as DDIM, and exactly DDIM with order = 1; iPNDM with order = 4 (2204.13902,
    section 4). The first steps have seen less and are of lower order. As they are, and the steps are not equal
    in r, orders above 2 need not converge faster.

    Args:
        denoise, noises, num_steps, schedule, times: as for `samplers.ddim`.
        order: m, from 1 to 5.
        draw_noises: none are drawn; samplers are called alike.

    Yields:
        `Prediction(noises, images)`, K times: the mean of eps over the step, and the images that mix with it to
        x_t. Those of the last are the result.

    Raises:
        UnnoiseError: for num_steps < 1, or an order outside 1 ... 5.
    """
    require(
        1 <= order <= len(ADAMS_BASHFORTH),
        f"A multistep sampler's order is from 1 to 5, but got {order}: try 2.",
    )
    grid = time_grid(num_steps, schedule, times)
    noisy_images, seen = noises, deque[Images](maxlen=order)
    for step in range(num_steps):
        # Not around the yield: a mode that is set inside a generator would leak to whoever it yields to.
        with torch.no_grad():
            rates = rates_at(grid, step, noises)
            prediction = denoise(noisy_images, *rates)
            seen.append(prediction.noises)
            if len(seen) > 1:  # before, there is nothing to correct; and the signal rate may still be 0
                weights = ADAMS_BASHFORTH[len(seen) - 1]
                mean = torch.stack([weight * eps for weight, eps in zip(weights, seen, strict=True)]).sum(0)
                prediction = along(mean, prediction, noisy_images, *rates)
        yield prediction
        noisy_images = mix(prediction.images, prediction.noises, *rates_at(grid, step + 1, noises))
