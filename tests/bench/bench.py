# SPDX-License-Identifier: MIT
"""Whole training steps of the same nets in PyTorch and in Gradus, turn by turn on one machine.

Run it by tests/bench/run.sh. Needs PyTorch; the executables are built by run.sh. Never part of CI:
a time is a property of a machine and a minute. Data is resident on both sides: random batches here, MNIST
there, where standardizing each batch is part of the step. Values do not change the work of a step.
"""
import argparse
import json
import statistics
import subprocess
import time

import torch
from torch import nn


def lenet():
    net = nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.BatchNorm2d(20), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5), nn.BatchNorm2d(50), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Dropout(0.5), nn.Linear(500, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    return net, optimizer, (64, 1, 28, 28)


def mlp():
    net = nn.Sequential(
        nn.Linear(784, 800), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(800, 800), nn.ReLU(), nn.Dropout(0.5), nn.Linear(800, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    return net, optimizer, (100, 784)


NETS = {"lenet": lenet, "mlp": mlp}


class Peer:
    """One net in PyTorch with its batches in memory; time(n) gives the median of n steps in us."""

    def __init__(self, name):
        torch.manual_seed(1)
        self.net, self.optimizer, shape = NETS[name]()
        self.net.train()
        self.loss = nn.CrossEntropyLoss()
        self.x = [torch.randn(shape) for _ in range(8)]
        self.t = [torch.randint(0, 10, (shape[0],)) for _ in range(8)]

    def step(self, i):
        self.optimizer.zero_grad()
        loss = self.loss(self.net(self.x[i % 8]), self.t[i % 8])
        loss.backward()
        self.optimizer.step()

    def time(self, steps):
        for i in range(max(3, steps // 10)):
            self.step(i)
        times = []
        for i in range(steps):
            start = time.perf_counter()
            self.step(i)
            times.append(1e6 * (time.perf_counter() - start))
        return statistics.median(times)


def gradus(executable, steps, threads):
    words = [executable, "bench", f"--steps={steps}", f"--threads={threads}"]
    out = subprocess.run(words, capture_output=True, text=True, check=False)
    lines = [line for line in out.stdout.splitlines() if line.startswith("{")]
    if out.returncode != 0 or not lines:
        raise SystemExit(f"{' '.join(words)} ended with {out.returncode}:\n{out.stdout}{out.stderr}")
    return json.loads(lines[-1])["median_us"]


def spread(values):
    return 100 * (max(values) - min(values)) / statistics.median(values)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100, help="steps in one turn")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, e.g. 1,2")
    parser.add_argument("nets", nargs="+", metavar="NAME=EXECUTABLE", help=", ".join(NETS))
    options = parser.parse_args()
    print(f"PyTorch {torch.__version__}; {options.rounds} rounds of {options.steps} steps; us per training step")
    print(f"{'net':8} {'threads':>7} {'PyTorch':>10} {'spread':>7} {'Gradus':>10} {'spread':>7} {'PyTorch/Gradus':>15}")
    for word in options.nets:
        name, _, executable = word.partition("=")
        if name not in NETS or not executable:
            parser.error(f"{word}: NAME=EXECUTABLE, NAME one of {', '.join(NETS)}")
        for threads in map(int, options.threads.split(",")):
            torch.set_num_threads(threads)
            peer, theirs, ours = Peer(name), [], []
            for _ in range(options.rounds):
                theirs.append(peer.time(options.steps))
                ours.append(gradus(executable, options.steps, threads))
            ratio = statistics.median(theirs) / statistics.median(ours)
            print(f"{name:8} {threads:7} {statistics.median(theirs):10.0f} {spread(theirs):6.0f}% "
                  f"{statistics.median(ours):10.0f} {spread(ours):6.0f}% {ratio:15.2f}", flush=True)


if __name__ == "__main__":
    main()
