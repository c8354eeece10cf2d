"""Sampler search on a mixture with an exact denoiser: candidates, order of trials, recommendation."""

import json
from dataclasses import replace

import pytest
import torch

from helpers.sampling import column, last
from unnoise.diffusion.oracles import Mixture
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import LinearBeta, OffsetCosine
from unnoise.evaluation import sampler_search
from unnoise.evaluation.metrics import ConfidenceInterval
from unnoise.evaluation.sampler_search.candidates import first_calls, promising_first
from unnoise.evaluation.sampler_search.search import remaining_candidates
from unnoise.utils.errors import UnnoiseError

SCHEDULE = OffsetCosine(0.02, 0.9999)
BASE = Sampling(num_steps=20, eta=1.0, clip="static")


def trial(sampler="ddim", calls=8, value=1.0, high=None, role="tried", spacing="uniform", error=None):
    sampling = Sampling(sampler=sampler, spacing=spacing, num_steps=calls)
    interval = ConfidenceInterval(value, value - 0.1, value + 0.1 if high is None else high)
    shown = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return sampler_search.Trial(
        role, sampler_search.Candidate(sampling, calls), calls, error, interval, 1.0, shown
    )


def noises(count=192, dtype=torch.float64):
    return torch.randn(count, 1, 3, 3, generator=torch.Generator().manual_seed(1), dtype=dtype)


def runner(walked=None):
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
    return sampler_search.TrialRunner(
        draw, lambda images: images.flatten(1).float(), real.flatten(1).float(), SCHEDULE
    )


@pytest.mark.parametrize("sampler", sampler_search.SAMPLERS)
@pytest.mark.parametrize("spacing", sampler_search.SPACINGS)
def test_candidates_have_the_most_steps_for_their_calls(sampler, spacing):
    for calls in (2, 7, 8, 20):
        sampling = sampler_search.best_candidate(BASE, sampler, spacing, calls, SCHEDULE).sampling
        assert sampling.calls(SCHEDULE) <= calls
        assert replace(sampling, num_steps=sampling.num_steps + 1).calls(SCHEDULE) > calls
        assert (sampling.eta, sampling.clip) == (0.0, "static")


def test_heun_has_half_as_many_steps():
    assert sampler_search.best_candidate(BASE, "heun", "uniform", 8, SCHEDULE).sampling.num_steps == 4


def test_candidates_of_a_discrete_schedule_have_at_most_its_steps():
    chain = LinearBeta(30)
    found = sampler_search.candidates(BASE, chain, ["ddim", "heun"], ["uniform", "log_snr"], [8, 50])
    steps = {(*one.sampler_and_spacing, one.calls): one.sampling.num_steps for one in found}
    assert steps["ddim", "uniform", 8] == steps["ddim", "log_snr", 8] == 8
    assert steps["ddim", "uniform", 50] == 30
    assert steps["heun", "uniform", 50] == 25  # 24 with a look ahead, and one to no noise at all
    assert sampler_search.reference_candidate(BASE, chain).sampling.num_steps == 30


def test_the_reference_equals_the_exact_probability_flow():
    """To 1e-3 of the mixture, whose flow is found by bisection."""
    sampling = sampler_search.reference_candidate(replace(BASE, clip="none"), SCHEDULE).sampling
    start = noises(64)
    grid = sampling.grid(SCHEDULE)
    walked = last(sampling.reverse_diffusion(Mixture(), start, SCHEDULE)).images
    first, then = ([rates[place].view(1, 1, 1, 1) for rates in grid] for place in (0, -1))
    exact = Mixture().flow(start, first, then)
    seen = Mixture()(exact, *then).images  # the last prediction has no noise left, the flow a little
    assert float((walked - seen).square().mean().sqrt()) < 2e-3


def test_error_and_distance_fall_with_the_number_of_calls():
    base = Sampling(sampler="ancestral", num_steps=60)
    space = sampler_search.SearchSpace(["ddim", "dpmpp_2m"], ["log_snr"], [4, 8, 16, 32])
    trials = list(sampler_search.search_samplers(runner(), base, space))
    assert [one.role for one in trials[:2]] == ["long", "own"]
    assert trials[0].error is None
    assert trials[1].error is None  # which draws fresh noise
    for sampler in space.samplers:
        mine = sorted((one for one in trials[2:] if one.sampling.sampler == sampler), key=lambda one: one.taken)
        errors, distances = ([getattr(one, name) for one in mine] for name in ("error", "distance"))
        assert errors == sorted(errors, reverse=True)
        assert errors[0] > (20 if sampler == "dpmpp_2m" else 5) * errors[-1]
        assert distances[0].value > distances[-1].value
    at_8 = {one.sampling.sampler: one.error for one in trials[2:] if one.taken == 8}
    assert at_8["dpmpp_2m"] < at_8["ddim"] / 2


def test_all_samplers_are_tried_at_8_calls_before_others():
    walked = []
    space = sampler_search.SearchSpace(["ddim", "dpmpp_2m"], ["uniform", "log_snr"], [4, 8])
    trials = list(sampler_search.search_samplers(runner(walked), Sampling(num_steps=5), space))
    assert len(walked) == len(trials) == 10
    assert [one.taken for one in trials[2:]] == [8] * 4 + [4] * 4
    assert trials[2].sampling.sampler == "dpmpp_2m"
    first_trials = sorted(trials[2:6], key=lambda one: one.distance.value)
    assert trials[6].candidate.sampler_and_spacing == first_trials[0].candidate.sampler_and_spacing


def test_trials_that_do_not_fit_in_the_time_are_skipped():
    left = iter([True, True, False])
    space = sampler_search.SearchSpace(["ddim", "dpmpp_2m"], ["uniform", "log_snr"], [8])
    trials = list(sampler_search.search_samplers(runner(), Sampling(num_steps=5), space, lambda _: next(left)))
    assert [one.role for one in trials] == ["long", "own", "tried", "tried"]


def test_best_spacings_of_the_best_samplers_are_tried_next():
    first_trials = [
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
    order = [(*one.sampler_and_spacing, one.calls) for one in remaining_candidates(everything, first_trials)]
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


def test_the_sampler_of_fewest_calls_that_matches_the_better_reference_is_recommended():
    long, own = (
        trial(calls=150, value=1.0, high=1.4, role="long"),
        trial(calls=60, value=0.8, high=1.2, role="own"),
    )
    cheap = trial("heun", 6, 1.21)
    good, better, dear = trial("ipndm", 8, 1.2), trial("dpmpp_2m", 8, 1.1), trial("ddim", 20, 0.5)
    choice = sampler_search.recommend([long, own, dear, cheap, good, better])
    assert (choice.trial, choice.target, choice.reached) == (better, own, True)
    choice = sampler_search.recommend([long, own, cheap, trial("ddim", 50, 1.3)])
    assert (choice.trial, choice.reached) == (cheap, False)
    with pytest.raises(UnnoiseError, match="allow more --minutes"):
        sampler_search.recommend([long, own])


def test_number_of_samples_takes_half_of_the_time():
    assert (
        sampler_search.affordable_samples(0.01, 300, 150) == 96
    )  # 150 s / (0.01 s * 150), down to whole eights
    assert sampler_search.affordable_samples(1.0, 60, 150) == 24
    assert sampler_search.affordable_samples(1e-7, 300, 150) == 512


def test_promising_samplers_and_8_calls_are_tried_first():
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
        ({"calls": []}, "--calls needs at least one value"),
        ({"samplers": []}, "--samplers needs at least one value"),
    ],
)
def test_empty_search_spaces_and_calls_below_1_are_refused(changes, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        sampler_search.SearchSpace(**({"samplers": ["ddim"], "spacings": ["uniform"], "calls": [8]} | changes))


def test_charts_and_sample_sheet_show_every_sampler():
    ways = [
        trial(name, calls, value=value / calls, error=0.5 / calls)
        for name, value in (("ddim", 9.0), ("heun", 5.0), ("dpmpp_2m", 4.0))
        for calls in (4, 8, 20)
    ]
    trials = [trial(calls=150, value=0.1, role="long"), trial(calls=60, value=0.12, role="own"), *ways]
    best = sampler_search.charts.best_trials(trials)
    assert list(best) == ["dpmpp_2m", "heun", "ddim"]
    assert [one.taken for one in best["heun"]] == [4, 8, 20]
    sheet = sampler_search.sample_sheet(trials, "KID")
    assert sheet.height > 5 * 8 * (sheet.width - 220) / (2 * 8) * 0.9  # 5 rows of 2 square tiles
    assert sampler_search.comparison_charts(trials, "KID").size == (1425, 630)


def test_results_are_written_and_the_sampler_is_kept_and_restored(tmp_path):
    from helpers.runs import start

    run = start(tmp_path / "run")
    before = run.config.recipe.sampling
    trials = [trial(calls=150, role="long"), trial("heun", 8, value=0.5, error=0.25)]
    sampler_search.write_result(run, {"samples": 24}, trials, sampler_search.recommend(trials))
    found = json.loads((run.path / "solve.json").read_text())
    assert found["trials"][1]["error"] == 0.25
    assert found["chosen"]["sampling"]["sampler"] == "heun"
    kept = sampler_search.keep_sampling(run, trials[1].sampling)
    assert type(run).open(run.path).config.recipe.sampling == trials[1].sampling
    assert sampler_search.restore_sampling(kept).config.recipe.sampling == before
    (run.path / "solve.json").write_text("{}")
    with pytest.raises(UnnoiseError, match="lacks the sampler to restore"):
        sampler_search.restore_sampling(run)
    (run.path / "solve.json").write_text("{")
    with pytest.raises(UnnoiseError, match="damaged"):
        sampler_search.restore_sampling(run)
