"""Adams and Bashforth's method for steps of any length: the weights follow from the grid."""

from collections.abc import Callable, Iterator, Sequence

from unnoise.diffusion.samplers.grid import Times, time_grid
from unnoise.diffusion.samplers.polynomials import extrapolated, polynomial_weights, require_order
from unnoise.diffusion.schedules import OffsetCosine, Schedule
from unnoise.diffusion.tensors import Denoise, Images, Prediction


def adams(
    denoise: Denoise,
    noises: Images,
    num_steps: int = 20,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    order: int = 3,
    times: Times | None = None,
    draw_noises: Callable[[], Images] | None = None,
) -> Iterator[Prediction]:
    r"""The polynomial in r = sigma / alpha through what was seen, integrated over the step.

        y_{t'} = y_t + \int_r^{r'} p(r) dr,      p(r_j) = eps_j,      y = x_t / alpha

    This is rho-AB-DEIS (2204.13902, section 4; r is its rho). It is exact where eps is a polynomial in r of
    lower degree than the order, however unequal the steps; where they are equal in r it is `multistep`, whose
    fixed weights are the same paper's iPNDM. One call of `denoise` a step, and DDIM with order = 1.
    The first step is DDIM's: its error stays of second order unless the grid starts with small steps.

    Args:
        denoise, noises, num_steps, schedule, times: as for `samplers.ddim`.
        order: how many are seen at most, from 1 to 4.
        draw_noises: none are drawn; samplers are called alike.

    Yields:
        as `multistep.multistep`.

    Raises:
        UnnoiseError: for num_steps < 1, or an order outside 1 ... 4.
    """
    require_order(order, 4, "adams")
    grid = time_grid(num_steps, schedule, times)
    ratios = (grid.noise_rates / grid.signal_rates).flatten().tolist()

    def weights(step: int, seen: Sequence[int]) -> list[float]:
        length = ratios[step + 1] - ratios[step]
        nodes = [(ratios[node] - ratios[step]) / length for node in seen]
        return polynomial_weights(nodes, [1 / (power + 1) for power in range(len(seen))])

    yield from extrapolated(denoise, noises, grid, order, weights)
