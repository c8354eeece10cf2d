"""Signals wait until the end of a block."""

import signal
import threading

import pytest

from unnoise.utils.uninterrupted import uninterrupted


def test_ctrl_c_waits_for_the_end_of_the_block():
    done, before = [], signal.getsignal(signal.SIGINT)

    def work() -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("the rest of the block")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["the rest of the block"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_handler_of_the_caller_is_asked_once_for_each_signal():
    asked = []
    before = signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    try:
        with uninterrupted():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            assert asked == []
        assert asked == [signal.SIGTERM] * 2
        with uninterrupted():
            pass
        assert asked == [signal.SIGTERM] * 2
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_error_in_the_block_is_not_lost():
    with pytest.raises(ZeroDivisionError), uninterrupted():
        1 / 0  # noqa: B018


def test_other_threads_answer_no_signals_and_may_use_it():
    def work() -> None:
        with uninterrupted():
            done.append(threading.current_thread())

    done: list[threading.Thread] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [thread]
