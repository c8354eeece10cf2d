"""A clock that is set by hand, and a contender whose steps take a known time on it."""

import torch


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Slow:
    """A contender whose steps take so many seconds."""

    batch_size = 8
    sampler, calls = "none", 3

    def __init__(self, clock, seconds, log=None, name=""):
        self.clock, self.seconds, self.log, self.name = clock, seconds, [] if log is None else log, name
        self.network = torch.nn.Linear(2, 1)
        self.spent, self.restored = [], []

    def step(self, spent):
        self.clock.now += self.seconds
        self.spent.append(spent)
        self.log.append(self.name)

    def weights(self):
        return {"steps": torch.tensor([float(len(self.spent))])}

    def restore(self, weights):
        self.restored.append(float(weights["steps"]))

    def draw(self, count, seed):
        return torch.rand(count, 1, 8, 8)
