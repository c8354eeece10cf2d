"""Requests to a run in training."""

import json
import time

import psutil
import pytest

from unnoise.runs.control import CONTROL, StopRequests, forget_requests, request_stop, stop_is_requested


def test_a_request_is_seen_and_forgotten(tmp_path):
    requests = StopRequests(tmp_path)
    assert not stop_is_requested(tmp_path)
    request_stop(tmp_path)
    assert stop_is_requested(tmp_path)
    assert requests.received
    forget_requests(tmp_path)
    assert not stop_is_requested(tmp_path)
    assert requests.received  # who was asked once stops


def test_a_request_to_an_earlier_process_stops_no_new_one(tmp_path):
    (tmp_path / CONTROL).write_text(json.dumps({"stop": True, "time": time.time() - 10**7}))
    assert stop_is_requested(tmp_path)
    assert not StopRequests(tmp_path).received


@pytest.mark.parametrize(("clock", "asked"), [(-3600, -3600), (3600, 3600), (3600, 0)])
def test_a_request_is_seen_though_the_clock_was_set(tmp_path, monkeypatch, clock, asked):
    """Back, forward, and forward after somebody asked."""
    requests, create_time = StopRequests(tmp_path), psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: create_time(process) + clock)
    (tmp_path / CONTROL).write_text(json.dumps({"stop": True, "time": time.time() + asked}))
    assert requests.received


def test_what_cannot_be_read_asks_for_nothing(tmp_path):
    for damaged in (
        "",
        "{",
        "[]",
        '{"stop": true}',
        '{"stop": true, "time": "soon"}',
        '{"stop": false, "time": 9e9}',
    ):
        (tmp_path / CONTROL).write_text(damaged)
        assert not stop_is_requested(tmp_path)
