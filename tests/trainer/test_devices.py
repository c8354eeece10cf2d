"""Devices of several processes: each owns one before it touches any, and their number counts in forecasts."""

import os
import threading

import pytest
import torch
from torch.overrides import TorchFunctionMode

from helpers.runs import digits, start
from unnoise.data.batches import Batches, Prefetcher
from unnoise.reports.doctor.speed import measure_speed
from unnoise.runs.plan import TrainOptions, default_preset, plan
from unnoise.runs.resume import resume_config
from unnoise.runs.sizing import choose_preset
from unnoise.trainer.deterministic import deterministic_kernels
from unnoise.trainer.distributed import number_of_devices
from unnoise.trainer.loop import choose_device, train
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.precision import DeviceCapabilities


class FakeCuda(TorchFunctionMode):
    """A machine with CUDA devices: what is put on them lies on the CPU, and is written down."""

    def __init__(self, patches: pytest.MonkeyPatch, count: int) -> None:
        super().__init__()
        self.events: list[tuple[str, str]] = []
        patches.setattr(torch.cuda, "is_available", lambda: True)
        patches.setattr(torch.cuda, "device_count", lambda: count)
        patches.setattr(torch.cuda, "set_device", lambda device: self.events.append(("own", str(device))))

    def __torch_function__(self, func, _types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        device = kwargs.get("device")
        if device is not None and torch.device(device).type == "cuda":
            self.events.append(("touch", str(device)))
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)


def ranks(patches: pytest.MonkeyPatch, rank: int, count: int) -> None:
    for name, value in {
        "LOCAL_RANK": rank,
        "LOCAL_WORLD_SIZE": count,
        "RANK": rank,
        "WORLD_SIZE": count,
    }.items():
        patches.setenv(name, str(value))


@pytest.mark.parametrize("name", ["auto", "cuda"])
@pytest.mark.parametrize("rank", range(4))
def test_a_rank_owns_its_device_before_it_touches_any(monkeypatch, rank, name):
    ranks(monkeypatch, rank, 4)
    with FakeCuda(monkeypatch, 8) as machine:
        assert choose_device(name) == torch.device("cuda", rank)
    assert machine.events == [("own", f"cuda:{rank}"), ("touch", f"cuda:{rank}")]


def test_a_single_process_owns_the_device_that_it_names(monkeypatch):
    with FakeCuda(monkeypatch, 2) as machine:
        assert choose_device("cuda:1") == torch.device("cuda:1")
        assert choose_device("cuda") == torch.device("cuda")
    assert machine.events == [("own", "cuda:1"), ("touch", "cuda:1"), ("touch", "cuda")]


def test_a_rank_that_sees_one_device_alone_takes_it(monkeypatch):
    """Some launchers set CUDA_VISIBLE_DEVICES for each process."""
    monkeypatch.setenv("ACCELERATE_BYPASS_DEVICE_MAP", "")
    monkeypatch.delenv("ACCELERATE_BYPASS_DEVICE_MAP")
    ranks(monkeypatch, 3, 4)
    with FakeCuda(monkeypatch, 1) as machine:
        assert choose_device("cuda") == torch.device("cuda:0")
    assert machine.events[0] == ("own", "cuda:0")
    assert os.environ["ACCELERATE_BYPASS_DEVICE_MAP"] == "true"  # the device of the local rank is not there


def test_a_rank_may_name_the_device_that_it_owns(monkeypatch):
    """As a run does that has been trained by several."""
    ranks(monkeypatch, 2, 4)
    with FakeCuda(monkeypatch, 4):
        assert choose_device("cuda:2") == torch.device("cuda:2")
        with pytest.raises(UnnoiseError, match=r"device of its own, but --device names cuda:1"):
            choose_device("cuda:1")


def test_on_mps_one_process_trains(monkeypatch):
    ranks(monkeypatch, 1, 2)
    with pytest.raises(UnnoiseError, match=r"on MPS one alone can train\. Name --device cpu"):
        choose_device("mps")


def test_what_cannot_be_shared_is_refused_before_anything_is_touched(monkeypatch):
    ranks(monkeypatch, 0, 4)
    with FakeCuda(monkeypatch, 2) as machine:
        with pytest.raises(UnnoiseError, match=r"4 processes .* 2 CUDA devices.*--nproc_per_node 2"):
            choose_device("cuda")
        with pytest.raises(UnnoiseError, match=r"device of its own, but --device names cuda:1"):
            choose_device("cuda:1")
    assert machine.events == []


def test_the_thread_that_prefetches_owns_the_device_of_its_process(monkeypatch):
    owned = []
    monkeypatch.setattr(
        torch.cuda, "set_device", lambda device: owned.append((device, threading.current_thread().name))
    )
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: owned.append("pinned") or tensor)
    images = digits()
    batches = Batches(images, plan(images, TrainOptions()).split(images).training, 4, 0)
    with Prefetcher(batches, torch.device("cuda:3")) as prefetched:
        prefetched(0)
    assert owned[:2] == [(3, "unnoise-batches_0"), "pinned"]


def test_processes_on_cpus_share_the_device_of_their_machine(monkeypatch):
    assert [number_of_devices(kind) for kind in ("cpu", "cuda", "mps")] == [1, 1, 1]
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert [number_of_devices(kind) for kind in ("cpu", "cuda")] == [2, 8]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize(("side", "minutes"), [(32, 100.0), (64, 3.0), (256, 20.0), (24, 5.0)])
def test_several_devices_are_worth_as_many_minutes_of_one(device, side, minutes):
    for count in (2, 4, 8):
        several = choose_preset(device, side, side, minutes, devices=count)
        assert several.name == choose_preset(device, side, side, count * minutes).name
        assert f"on {count} x {device} for pictures" in several.why
    steps = [choose_preset(device, side, side, 1e6, "steps", devices=count) for count in (1, 8)]
    assert steps[0] == steps[1]  # they say how much can be learned, whatever learns it


def test_the_number_of_devices_counts_in_a_plan_and_is_free_on_resuming():
    images = digits()
    names = [default_preset(images, TrainOptions(devices=count), "cuda").name for count in (1, 64)]
    assert names == ["medium", "large"]
    gpu = DeviceCapabilities(type="cuda", bfloat16=True)
    assert plan(images, TrainOptions(devices=64), gpu).preset == "large"
    config = plan(images, TrainOptions())
    assert resume_config(config, TrainOptions(devices=3)) == config
    with pytest.raises(UnnoiseError, match="At least 1 device trains, but got 0"):
        TrainOptions(devices=0)


def test_a_forecast_measures_the_part_of_one_device(monkeypatch):
    """Of a batch shared by four, each takes a quarter: four times as many images in the same time."""
    images, clock = digits(), [0.0]

    def ticking() -> float:
        clock[0] += 0.3
        return clock[0]

    config, sizes = plan(images, TrainOptions(batch_size=16, preset="nano")), []
    take = type(images).take
    monkeypatch.setattr(
        type(images), "take", lambda own, places: sizes.append(len(places)) or take(own, places)
    )
    one, four = (measure_speed(config, images, "cpu", count, clock=ticking) for count in (1, 4))
    assert set(sizes) == {16, 4}
    assert (one.devices, four.devices) == (1, 4)
    assert one.images_per_second == pytest.approx(four.images_per_second)  # by this clock a step takes as long
    with pytest.raises(UnnoiseError, match="3 processes cannot share batches of 16"):
        measure_speed(config, images, "cpu", 3, clock=ticking)


# --- deterministic kernels ----------------------------------------------------------------------------------


def test_deterministic_kernels_are_asked_for_and_nothing_stays(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    with deterministic_kernels(False):
        assert not torch.are_deterministic_algorithms_enabled()
    with deterministic_kernels(True):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
        assert torch.os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark


def test_a_network_without_such_kernels_is_refused_in_one_sentence():
    told = r"--deterministic here \(x does not have a deterministic implem"
    with pytest.raises(UnnoiseError, match=told), deterministic_kernels(True):
        raise RuntimeError("x does not have a deterministic implementation, but you set ...\nmore")
    with pytest.raises(RuntimeError, match="something else"), deterministic_kernels(True):
        raise RuntimeError("something else")
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("changes", [[], ['noise_levels={"kind":"LossAware","num_slices":4,"memory":2}']])
def test_a_run_keeps_that_it_is_deterministic_and_a_cpu_computes_the_same(tmp_path, changes):
    found = {}
    for wanted in (False, True):
        run = start(tmp_path / str(wanted), 3, recipe_changes=changes, deterministic=wanted)
        assert type(run).open(run.path).config.deterministic == wanted
        asked = []
        for step in train(run, digits()):
            asked.append(torch.are_deterministic_algorithms_enabled())
            found.setdefault(wanted, []).append(step.result.loss.item())
        assert asked == [wanted] * 3
        assert not torch.are_deterministic_algorithms_enabled()
    assert found[True] == found[False]
    with pytest.raises(UnnoiseError, match="started with deterministic True, but got False"):
        resume_config(run.config, TrainOptions(deterministic=False))


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_equal_seeds_give_equal_bits_on_cuda(tmp_path, precision):
    losses = []
    for name in ("one", "other"):
        run = start(tmp_path / name, 20, precision=precision, deterministic=True)
        losses.append([step.result.loss.item() for step in train(run, digits(), "cuda")])
    assert losses[0] == losses[1]
