"""Samplers are compared at one price, by a walk that is exact enough, and the cheapest good one is chosen."""

import json
from dataclasses import replace

import pytest
import torch

from helpers.oracles import Mixture, column, last
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import LinearBeta, OffsetCosine
from unnoise.evaluation import sampler_search as solving
from unnoise.evaluation.metrics import Interval
from unnoise.evaluation.sampler_search.candidates import first_calls, promising_first
from unnoise.evaluation.sampler_search.trials import ranked
from unnoise.utils.errors import UnnoiseError

SCHEDULE = OffsetCosine(0.02, 0.9999)
BASE = Sampling(num_steps=20, eta=1.0, clip="static")


def trial(sampler="ddim", calls=8, value=1.0, high=None, role="tried", spacing="uniform", error=None):
    sampling = Sampling(sampler=sampler, spacing=spacing, num_steps=calls)
    interval = Interval(value, value - 0.1, value + 0.1 if high is None else high)
    shown = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return solving.Trial(role, solving.Candidate(sampling, calls), calls, error, interval, 1.0, shown)


def noises(count=192, dtype=torch.float64):
    return torch.randn(count, 1, 3, 3, generator=torch.Generator().manual_seed(1), dtype=dtype)


def bench(walked=None):
    """Draws from the mixture, whose exact denoiser is known; features are the pixels."""
    mixture = Mixture()

    def draw(sampling):
        if walked is not None:
            walked.append(sampling)
        chance = torch.Generator().manual_seed(2)

        def fresh():
            return torch.randn(noises().shape, generator=chance, dtype=torch.float64)

        return last(sampling.reverse_diffusion(mixture, noises(), SCHEDULE, fresh)).images

    start = torch.randn(400, 1, 3, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    ends = [column(value, dtype=torch.float64) for value in (1.0, 0.0)]
    real = mixture.flow(start, (ends[0], ends[1]), (ends[1], ends[0]))
    return solving.Bench(draw, lambda images: images.flatten(1).float(), real.flatten(1).float(), SCHEDULE)


@pytest.mark.parametrize("sampler", solving.all_samplers())
@pytest.mark.parametrize("spacing", solving.SPACINGS)
def test_a_sampler_gets_the_most_steps_that_its_calls_pay_for(sampler, spacing):
    for calls in (2, 7, 8, 20):
        sampling = solving.candidate(BASE, sampler, spacing, calls, SCHEDULE).sampling
        assert sampling.calls(SCHEDULE) <= calls
        assert replace(sampling, num_steps=sampling.num_steps + 1).calls(SCHEDULE) > calls
        assert (sampling.eta, sampling.clip) == (0.0, "static")


def test_heun_gets_half_the_steps():
    assert solving.candidate(BASE, "heun", "uniform", 8, SCHEDULE).sampling.num_steps == 4


def test_a_chain_is_walked_in_no_more_steps_than_it_has():
    chain = LinearBeta(30)
    found = solving.candidates(BASE, chain, ["ddim", "heun"], ["uniform", "log_snr"], [8, 50])
    steps = {(*one.way, one.calls): one.sampling.num_steps for one in found}
    assert steps["ddim", "uniform", 8] == steps["ddim", "log_snr", 8] == 8
    assert steps["ddim", "uniform", 50] == 30
    assert steps["heun", "uniform", 50] == 25  # 24 with a look ahead, and one to no noise at all
    assert solving.long_walk(BASE, chain).sampling.num_steps == 30


def test_the_long_walk_ends_where_the_exact_flow_does():
    """To 1e-3 of the mixture, whose flow is found by bisection."""
    sampling = solving.long_walk(replace(BASE, clip="none"), SCHEDULE).sampling
    start = noises(64)
    grid = sampling.grid(SCHEDULE)
    walked = last(sampling.reverse_diffusion(Mixture(), start, SCHEDULE)).images
    first, then = ([rates[place].view(1, 1, 1, 1) for rates in grid] for place in (0, -1))
    exact = Mixture().flow(start, first, then)
    seen = Mixture()(exact, *then).images  # the last prediction has no noise left, the flow a little
    assert float((walked - seen).square().mean().sqrt()) < 2e-3


def test_errors_and_distances_fall_with_calls_on_the_mixture():
    base = Sampling(sampler="ancestral", num_steps=60)
    asked = solving.Asked(["ddim", "dpmpp_2m"], ["log_snr"], [4, 8, 16, 32])
    trials = list(solving.solve(bench(), base, asked))
    assert [one.role for one in trials[:2]] == ["long", "own"]
    assert trials[0].error is None
    assert trials[1].error is None  # which draws fresh noise
    for sampler in asked.samplers:
        mine = sorted((one for one in trials[2:] if one.sampling.sampler == sampler), key=lambda one: one.taken)
        errors, distances = ([getattr(one, name) for one in mine] for name in ("error", "distance"))
        assert errors == sorted(errors, reverse=True)
        assert errors[0] > (20 if sampler == "dpmpp_2m" else 5) * errors[-1]
        assert distances[0].value > distances[-1].value
    at_8 = {one.sampling.sampler: one.error for one in trials[2:] if one.taken == 8}
    assert at_8["dpmpp_2m"] < at_8["ddim"] / 2


def test_all_are_looked_at_with_8_calls_before_the_best_get_others():
    walked = []
    asked = solving.Asked(["ddim", "dpmpp_2m"], ["uniform", "log_snr"], [4, 8])
    trials = list(solving.solve(bench(walked), Sampling(num_steps=5), asked))
    assert len(walked) == len(trials) == 10
    assert [one.taken for one in trials[2:]] == [8] * 4 + [4] * 4
    assert trials[2].sampling.sampler == "dpmpp_2m"
    looks = sorted(trials[2:6], key=lambda one: one.distance.value)
    assert trials[6].candidate.way == looks[0].candidate.way


def test_no_trial_begins_that_does_not_fit():
    left = iter([True, True, False])
    asked = solving.Asked(["ddim", "dpmpp_2m"], ["uniform", "log_snr"], [8])
    trials = list(solving.solve(bench(), Sampling(num_steps=5), asked, lambda _: next(left)))
    assert [one.role for one in trials] == ["long", "own", "tried", "tried"]


def test_best_grids_of_the_best_samplers_come_next():
    looks = [
        trial("ddim", value=3.0),
        trial("ddim", value=2.5, spacing="karras"),
        trial("heun", value=2.0),
        trial("heun", value=2.2, spacing="karras"),
    ]
    everything = [
        trial(sampler, calls, spacing=spacing).candidate
        for calls in (8, 6, 4)
        for sampler in ("ddim", "heun")
        for spacing in ("uniform", "karras")
    ]
    order = [(*one.way, one.calls) for one in ranked(everything, looks)]
    assert order == [
        ("heun", "uniform", 4),
        ("heun", "uniform", 6),
        ("ddim", "karras", 4),
        ("ddim", "karras", 6),
        ("heun", "karras", 4),
        ("heun", "karras", 6),
        ("ddim", "uniform", 4),
        ("ddim", "uniform", 6),
    ]


def test_the_cheapest_that_reaches_the_better_reference_is_recommended():
    long, own = (
        trial(calls=150, value=1.0, high=1.4, role="long"),
        trial(calls=60, value=0.8, high=1.2, role="own"),
    )
    cheap = trial("heun", 6, 1.21)
    good, better, dear = trial("ipndm", 8, 1.2), trial("dpmpp_2m", 8, 1.1), trial("ddim", 20, 0.5)
    choice = solving.recommend([long, own, dear, cheap, good, better])
    assert (choice.trial, choice.target, choice.reached) == (better, own, True)
    choice = solving.recommend([long, own, cheap, trial("ddim", 50, 1.3)])
    assert (choice.trial, choice.reached) == (cheap, False)
    with pytest.raises(UnnoiseError, match="allow more --minutes"):
        solving.recommend([long, own])


def test_as_many_pictures_as_half_of_the_time_allows():
    assert solving.affordable(0.01, 300, 150) == 96  # 150 s / (0.01 s * 150), down to whole eights
    assert solving.affordable(1.0, 60, 150) == 24
    assert solving.affordable(1e-7, 300, 150) == 512


def test_what_needs_few_calls_is_tried_first():
    assert promising_first(["consistency", "ddim", "heun", "dpmpp_2m"]) == [
        "dpmpp_2m",
        "heun",
        "consistency",
        "ddim",
    ]
    assert first_calls((4, 6, 8, 10)) == 8
    assert first_calls((5, 20)) == 5


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"calls": [4, 0]}, "at least 1 call .* got 0"),
        ({"calls": []}, "At least one of the calls"),
        ({"samplers": []}, "At least one of the samplers"),
    ],
)
def test_what_can_not_be_compared_is_refused(changes, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        solving.Asked(**({"samplers": ["ddim"], "spacings": ["uniform"], "calls": [8]} | changes))


def test_pictures_show_every_row_and_lines_of_each_sampler():
    ways = [
        trial(name, calls, value=value / calls, error=0.5 / calls)
        for name, value in (("ddim", 9.0), ("heun", 5.0), ("dpmpp_2m", 4.0))
        for calls in (4, 8, 20)
    ]
    trials = [trial(calls=150, value=0.1, role="long"), trial(calls=60, value=0.12, role="own"), *ways]
    best = solving.drawings.best_ways(trials)
    assert list(best) == ["dpmpp_2m", "heun", "ddim"]
    assert [one.taken for one in best["heun"]] == [4, 8, 20]
    sheet = solving.side_by_side(trials, "KID")
    assert sheet.height > 5 * 8 * (sheet.width - 220) / (2 * 8) * 0.9  # 5 rows of 2 square tiles
    assert solving.errors(trials, "KID").size == (1425, 630)


def test_numbers_are_written_as_json(tmp_path):
    from helpers.runs import start

    run = start(tmp_path / "run")
    before = run.config.recipe.sampling
    trials = [trial(calls=150, role="long"), trial("heun", 8, value=0.5, error=0.25)]
    solving.write(run, {"samples": 24}, trials, solving.recommend(trials))
    found = json.loads((run.path / "solve.json").read_text())
    assert found["trials"][1]["error"] == 0.25
    assert found["chosen"]["sampling"]["sampler"] == "heun"
    kept = solving.keep(run, trials[1].sampling)
    assert type(run).open(run.path).config.recipe.sampling == trials[1].sampling
    assert solving.restore(kept).config.recipe.sampling == before
    (run.path / "solve.json").write_text("{}")
    with pytest.raises(UnnoiseError, match="does not say what was before"):
        solving.restore(run)
    (run.path / "solve.json").write_text("{")
    with pytest.raises(UnnoiseError, match="damaged"):
        solving.restore(run)
