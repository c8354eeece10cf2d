"""Profiler of training steps: it changes nothing, and its times, FLOPs and kinds of kernels add up."""

import gzip
import json
from dataclasses import dataclass, field
from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from torch.autograd import DeviceType
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from helpers.runs import digits, start
from helpers.sampling import last
from unnoise.api import profile_report
from unnoise.cli import run
from unnoise.data.batches import Batches, split
from unnoise.trainer import profiling
from unnoise.trainer.loop import train
from unnoise.trainer.profiling import StepProfile, StepProfiler, kernel_kind, time_by_kind
from unnoise.utils.device_peak import Peak
from unnoise.utils.device_speed import OPERATOR_KINDS, PROFILER_RANGES, count_flops


@pytest.fixture(autouse=True)
def _quick_peak(monkeypatch):
    monkeypatch.setattr(profiling, "device_peak", lambda *_: Peak(100.0, "a product"))


def watcher(folder, found) -> StepProfiler:
    return StepProfiler(folder, torch.device("cpu"), "float32", found.append, warm_up=1, count=2)


def same_weights(first, second) -> bool:
    names = [file.relative_to(first.path) for file in sorted(first.path.rglob("*.safetensors"))]
    assert len(names) >= 2
    for name in names:
        mine, other = (load_file(made.path / name) for made in (first, second))
        assert mine.keys() == other.keys()
        if not all(torch.equal(mine[key], other[key]) for key in mine):
            return False
    return True


def test_profiling_does_not_change_the_weights(tmp_path):
    found = []
    plain, looked_at = (start(tmp_path / name, 9) for name in ("plain", "looked_at"))
    last(train(plain, digits()))
    watching = watcher(looked_at.path / "profile", found)
    steps = [step.progress.step for step in train(looked_at, digits(), watch=watching.watch)]
    assert steps == list(range(1, 10))
    assert watching.done
    assert same_weights(plain, looked_at)

    (profile,) = found
    assert profile.steps == 2
    assert profile.idle is None
    assert 0 < profile.data < 1
    assert profile.speed == pytest.approx(profile.gigaflops / profile.milliseconds * 1e3)
    assert profile.peak_share == profile.speed / 100
    kinds = {
        *PROFILER_RANGES,
        "optimiser",
        "convolutions, forward",
        "convolutions, backward",
        "norms",
        "copies",
    }
    assert kinds <= profile.kinds.keys()
    assert list(profile.kinds.values()) == sorted(profile.kinds.values(), reverse=True)

    with gzip.open(profile.trace) as file:
        names = [event.get("name") for event in json.load(file)["traceEvents"]]
    assert names.count("unnoise: step") == 2
    assert names.count("unnoise: data") == 2

    config = plain.config
    batches = Batches(digits(), split(len(digits()), config.data.held_out, config.seed).training, 16, 0)
    diffusion = config.build()
    with FlopCounterMode(display=False) as counter:
        work = count_flops(lambda: diffusion.train_step(batches[1]))
    assert profile.gigaflops == work / 1e9
    assert work == counter.get_total_flops()


def test_fused_attention_counts_like_its_products():
    """Forward two products of 2 N K d for each head, backward five."""
    query, key, value = (torch.randn(2, 3, 200, 16, requires_grad=True) for _ in range(3))
    product = 2 * 2 * 3 * 200 * 200 * 16

    def attend():
        return functional.scaled_dot_product_attention(query, key, value)

    assert count_flops(attend) == 2 * product
    assert count_flops(lambda: attend().sum().backward()) == 7 * product


def test_too_few_steps_give_no_profile_and_there_is_only_one(tmp_path):
    found = []
    watching = watcher(tmp_path, found)
    assert watching.needed == 6
    for ended in range(6):
        assert list(watching.watch(range(ended))) == list(range(ended))
        assert (watching.taken, watching.done, found) == (ended, False, [])
    half = watching.watch(iter(range(9)))
    for _ in range(5):
        next(half)
    half.close()  # in the midst of recording
    assert list(watching.watch(range(9))) == list(range(9))
    assert list(watching.watch(range(9))) == list(range(9))
    assert len(found) == 1
    assert watching.done


def test_a_trace_that_cannot_be_written_is_a_warning(tmp_path):
    (tmp_path / "file").write_text("")
    found = []
    with pytest.warns(UserWarning, match=r"Cannot write the trace .*trace\.json\.gz"):
        assert list(watcher(tmp_path / "file", found).watch(range(9))) == list(range(9))
    assert found[0].trace is None


# --- kinds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aten::mkldnn_convolution", "convolutions, forward"),
        ("aten::cudnn_convolution", "convolutions, forward"),
        ("aten::convolution_backward", "convolutions, backward"),
        ("aten::native_group_norm", "norms"),
        ("aten::native_group_norm_backward", "norms"),
        ("aten::silu_backward", "activations and sums"),
        ("aten::addmm", "dense layers and attention"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "dense layers and attention"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu_backward", "dense layers and attention"),
        ("aten::_efficient_attention_forward", "dense layers and attention"),
        ("aten::upsample_nearest2d_backward", "copies"),
        ("triton_poi_fused_add_0", "compiled kernels"),
        ("CompiledFunctionBackward", "compiled kernels"),
        ("aten::unheard_of", "Python and the rest"),
    ],
)
def test_operators_are_sorted_into_kinds_of_kernels(name, kind):
    assert kernel_kind(name) == kind


def test_kernel_kinds_cover_those_of_device_speed():
    for kind, names in OPERATOR_KINDS.items():
        assert all(kernel_kind(f"aten::{name}").startswith(kind) for name in names)


@dataclass
class Span:
    start: float
    end: float


@dataclass
class Event:
    """As the profiler's."""

    name: str
    time_range: Span
    self_cpu_time_total: float = 0.0
    self_device_time_total: float = 0.0
    cpu_parent: "Event | None" = None
    device_type: DeviceType = field(default=DeviceType.CPU)


def test_time_by_kind_counts_operators_inside_steps_and_whole_parts():
    step = Event("unnoise: step", Span(10, 20), 1.0)
    update = Event(PROFILER_RANGES["averages"], Span(11, 12), 2.0, cpu_parent=step)
    moved = Event("Optimizer.step#Muon.step", Span(13, 14), 4.0, cpu_parent=step)
    events = [
        step,
        update,
        moved,
        Event("aten::lerp", Span(11, 12), 8.0, 1.0, cpu_parent=update),
        Event("aten::mm", Span(13, 14), 16.0, 2.0, cpu_parent=moved),
        Event("aten::mm", Span(15, 16), 32.0, 4.0),  # of the thread that goes backward: it has no parent
        Event("aten::mm", Span(25, 26), 64.0, 8.0),
        Event("a kernel", Span(15, 16), 128.0, 16.0, device_type=DeviceType.CUDA),
    ]
    parts = time_by_kind(events, on_cpu=True)
    products = "dense layers and attention"
    assert parts == {products: 32.0, "optimiser": 20.0, "averages": 10.0, "Python and the rest": 1.0}
    assert time_by_kind(events, on_cpu=False) == {products: 4.0, "optimiser": 2.0, "averages": 1.0}


# --- the command ---------------------------------------------------------------------------------------------


def test_sentences_of_a_profile():
    given = StepProfile(10, 50.0, {"norms": 3.0, "data": 1.0}, None, 0.25, 2.0, Peak(80.0, "a product"), None)
    first, second = profile_report.profile_sentences(given)
    assert "50.0 ms for 2 GFLOP: 40 GFLOP/s, 50% of the 80 that" in first
    assert second == "Loading the pictures takes 25.0% of a step: training waits for them."
    _, idle, data = profile_report.profile_sentences(given._replace(idle=0.4, data=0.01))
    assert "idle for 40% of a step" in idle
    assert "does not wait" in data
    assert len(profile_report.profile_sentences(given._replace(idle=0.01))) == 2


def test_train_prints_a_profile_and_continues(tmp_path, monkeypatch, capsys):
    """Of 25 steps, or here of 6, as the events of each take long to read."""
    assert StepProfiler(tmp_path, torch.device("cpu"), "float32", print).needed == 25
    monkeypatch.setattr(profiling, "StepProfiler", partial(StepProfiler, warm_up=1, count=2))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNNOISE_CACHE", "cache")
    monkeypatch.setenv("KINETO_LOG_LEVEL", "99")
    tiny = ["--set", "network.widths=[8,16]", 'network.attention=["none","none"]', "sampling.num_steps=3"]
    common = ["--device", "cpu", "--batch-size", "4", "--profile", *tiny]
    assert run(["train", "digits", "--out", "r", "--steps", "7", *common]) == 0
    said = capsys.readouterr()
    assert "profile (open it in ui.perfetto.dev): r/profile/trace.json.gz" in said.out
    assert "time of a training step" in said.err
    assert "convolutions, backward" in said.err
    assert "of the 100 that a product, the fastest of its operations" in " ".join(said.err.split())
    assert (tmp_path / "r/training/0000000007.safetensors").exists()
    assert run(["train", "digits", "--out", "few", "--steps", "3", *common]) == 0
    said = capsys.readouterr()
    assert "No profile: it takes 6 steps, but the run ended after 3" in said.err
    assert not (tmp_path / "few/profile").exists()
