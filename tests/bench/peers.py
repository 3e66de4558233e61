# SPDX-License-Identifier: MIT
"""The nets of tests/bench/nets in PyTorch, one of them in a process of its own that answers on standard output.

Started by bench.py: peers.py NET THREADS, then a number of steps on each line of standard input. Needs PyTorch.
The same layers, batch, loss and optimizer; examples are generated and lie in memory. A convolutional net is timed in
both orders of memory, channels first and channels last, and goes on in the faster one.
"""
import json
import resource
import statistics
import sys
import time

import torch
from torch import nn


def pool():
    return nn.MaxPool2d(3, 2, ceil_mode=True)


def conv(inputs, filters, stride=1):
    return [nn.Conv2d(inputs, filters, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(filters)]


class Residual(nn.Module):
    def __init__(self, inputs, filters, stride=1):
        super().__init__()
        self.a = nn.Sequential(*conv(inputs, filters, stride), nn.ReLU(), *conv(filters, filters))
        self.s = nn.Identity()
        if stride != 1 or inputs != filters:
            self.s = nn.Sequential(nn.Conv2d(inputs, filters, 1, stride=stride, bias=False), nn.BatchNorm2d(filters))

    def forward(self, x):
        return torch.relu(self.a(x) + self.s(x))


def tiny():
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def bn_mlp():
    layers, inputs = [], 784
    for _ in range(3):
        layers += [nn.Linear(inputs, 100, bias=False), nn.BatchNorm1d(100), nn.Sigmoid()]
        inputs = 100
    return nn.Sequential(*layers, nn.Linear(100, 10))


def mlp800():
    return nn.Sequential(nn.Linear(784, 800), nn.ReLU(), nn.Dropout(0.5),
                         nn.Linear(800, 800), nn.ReLU(), nn.Dropout(0.5), nn.Linear(800, 10))


def stochastic():
    return nn.Sequential(nn.Linear(784, 800), nn.ReLU(), nn.Linear(800, 800), nn.ReLU(), nn.Linear(800, 10))


def lenet():
    return nn.Sequential(nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10))


def convnet():
    return nn.Sequential(nn.Conv2d(3, 32, 5, padding=2), nn.ReLU(), pool(), nn.Conv2d(32, 32, 5, padding=2), nn.ReLU(),
                         pool(), nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), pool(), nn.Flatten(), nn.Linear(1024, 10))


def sixconv():
    layers, inputs = [], 3
    for filters in (64, 128, 256):
        layers += [*conv(inputs, filters), nn.ReLU(), *conv(filters, filters), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if filters < 256 else [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10)]
        inputs = filters
    return nn.Sequential(*layers)


def resnet20():
    layers, inputs = [*conv(3, 16), nn.ReLU()], 16
    for filters in (16, 32, 64):
        for block in range(3):
            layers.append(Residual(inputs, filters, 2 if block == 0 and filters > 16 else 1))
            inputs = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def sgd(lr, momentum=0.0):
    return lambda p: torch.optim.SGD(p, lr=lr, momentum=momentum)


# name: (net, optimizer or None for prediction, shape of a batch)
NETS = {
    "tiny_sgd": (tiny, sgd(0.01), (32, 64)),
    "tiny_adam": (tiny, lambda p: torch.optim.Adam(p, lr=0.001), (32, 64)),
    "bn_mlp": (bn_mlp, sgd(0.01), (60, 784)),
    "mlp800": (mlp800, sgd(0.01), (96, 784)),
    "lenet": (lenet, sgd(0.01, 0.9), (64, 1, 28, 28)),
    "convnet": (convnet, sgd(0.001, 0.9), (96, 3, 32, 32)),
    "sixconv": (sixconv, sgd(0.01, 0.9), (64, 3, 32, 32)),
    "resnet20": (resnet20, sgd(0.01, 0.9), (64, 3, 32, 32)),
    "stochastic": (stochastic, sgd(0.001), (1, 784)),
    "lenet_one": (lenet, None, (1, 1, 28, 28)),
}


class Peer:
    def __init__(self, name):
        torch.manual_seed(1)
        build, optimizer, shape = NETS[name]
        self.net = build()
        self.net.train(optimizer is not None)
        self.optimizer = optimizer(self.net.parameters()) if optimizer else None
        self.loss = nn.CrossEntropyLoss()
        self.x = [torch.rand(shape) for _ in range(8)]
        self.t = [torch.randint(0, 10, (shape[0],)) for _ in range(8)]
        self.order = "channels first"
        self.count = 0
        self.steps(3)
        if len(shape) == 4:
            self.choose_order()

    def choose_order(self):
        first = self.steps(5)["median_us"]
        self.reorder(torch.channels_last)
        self.steps(3)
        if self.steps(5)["median_us"] < first:
            self.order = "channels last"
        else:
            self.reorder(torch.contiguous_format)

    def reorder(self, order):
        self.net = self.net.to(memory_format=order)
        self.x = [x.contiguous(memory_format=order) for x in self.x]

    def step(self):
        x, t = self.x[self.count % 8], self.t[self.count % 8]
        self.count += 1
        if not self.optimizer:
            with torch.inference_mode():
                return self.net(x)
        self.optimizer.zero_grad()
        loss = self.loss(self.net(x), t)
        loss.backward()
        self.optimizer.step()
        return loss

    def steps(self, count):
        times, cpu = [], time.process_time()
        for _ in range(count):
            start = time.perf_counter()
            self.step()
            times.append(1e6 * (time.perf_counter() - start))
        cpu = 1e6 * (time.process_time() - cpu) / count
        return {"median_us": statistics.median(times), "min_us": min(times), "cpu_us": cpu, "order": self.order,
                "resident_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}


def main():
    torch.set_num_threads(int(sys.argv[2]))
    peer = Peer(sys.argv[1])
    print(json.dumps({"version": torch.__version__}), flush=True)
    for line in sys.stdin:
        print(json.dumps(peer.steps(int(line))), flush=True)


if __name__ == "__main__":
    main()
