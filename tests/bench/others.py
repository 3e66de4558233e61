# SPDX-License-Identifier: MIT
"""FANN and darknet beside Gradus: the nets that can be said to them, as the words that others.c is started with.

Used by bench.py. Both are plain C on one thread. FANN has sigmoids and squared errors in place of relu and cross entropy,
no dropout and no convolutions; darknet has all of these nets. Needs a C compiler and Debian's libfann-dev and darknet.
"""
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
LIBRARIES = {
    "FANN": ["-DFANN", "-lfloatfann", "-lm"],
    "darknet": ["-DDARKNET", "-I/usr/lib/darknet/include", "-L/usr/lib/darknet", "-Wl,-rpath,/usr/lib/darknet", "-ldarknet"],
}
FANN = {
    "tiny_sgd": "32 64 64 32 10",
    "mlp800": "96 784 800 800 10",
    "stochastic": "1 784 800 800 10",
}


def section(name, **options):
    return "\n".join([f"[{name}]", *(f"{key}={value}" for key, value in options.items())])


def dense(units, activation="relu", **more):
    return section("connected", output=units, activation=activation, **more)


def conv(filters, size=3, activation="relu", **more):
    return section("convolutional", filters=filters, size=size, activation=activation, **more)


def normal(filters, stride=1, activation="relu", size=3):
    return conv(filters, size, activation, stride=stride, pad=int(size > 1), batch_normalize=1)


def pool(size, stride=2):
    return section("maxpool", size=size, stride=stride)


def residual(filters, stride=1):
    layers = [normal(filters, stride), normal(filters, activation="linear")]
    if stride > 1:
        layers += [section("route", layers=-3), normal(filters, stride, "linear", 1)]
    return [*layers, section("shortcut", **{"from": -3}, activation="relu")]


def resnet20():
    layers = [normal(16)]
    for filters in (16, 32, 64):
        for block in range(3):
            layers += residual(filters, 2 if block == 0 and filters > 16 else 1)
    return [*layers, section("avgpool")]


LENET = [conv(20, 5), pool(2), conv(50, 5), pool(2), dense(500)]
DROPOUT = section("dropout", probability=0.5)
# name: (batch, 0 to predict; shape of an example; optimizer; layers before the last)
DARKNET = {
    "tiny_sgd": (32, (64,), (0.01, 0), [dense(64), dense(32)]),
    "bn_mlp": (60, (784,), (0.01, 0), [dense(100, "logistic", batch_normalize=1)] * 3),
    "mlp800": (96, (784,), (0.01, 0), [dense(800), DROPOUT] * 2),
    "lenet": (64, (1, 28, 28), (0.01, 0.9), LENET),
    "convnet": (96, (3, 32, 32), (0.001, 0.9),
                [layer for f in (32, 32, 64) for layer in (conv(f, 5, pad=1), pool(3))]),
    "sixconv": (64, (3, 32, 32), (0.01, 0.9),
                [normal(64), normal(64), pool(2), normal(128), normal(128), pool(2), normal(256), normal(256), section("avgpool")]),
    "resnet20": (64, (3, 32, 32), (0.01, 0.9), resnet20()),
    "stochastic": (1, (784,), (0.001, 0), [dense(800), dense(800)]),
    "lenet_one": (0, (1, 28, 28), (0.01, 0), LENET),
}


def configuration(batch, shape, optimizer, layers):
    sizes = {"inputs": shape[0]} if len(shape) == 1 else dict(zip(("channels", "height", "width"), shape))
    net = section("net", batch=max(batch, 1), subdivisions=1, learning_rate=optimizer[0], momentum=optimizer[1],
                  decay=0, policy="constant", max_batches=1000000000, **sizes)
    return "\n\n".join([net, *layers, dense(10, "linear"), section("softmax")]) + "\n"


def build(work):
    """Compiles others.c for each library that is installed: {name: executable}."""
    found = {}
    for name, (define, *words) in LIBRARIES.items():
        executable = os.path.join(work, name)
        done = subprocess.run(["cc", "-O2", define, os.path.join(HERE, "others.c"), *words, "-o", executable],
                              capture_output=True, check=False)
        if done.returncode == 0:
            found[name] = executable
    return found


def command(executables, library, net, work):
    """The words that start a library on a net; None where it is not there or cannot say the net."""
    if library not in executables or net not in (FANN if library == "FANN" else DARKNET):
        return None
    if library == "FANN":
        return [executables[library], *FANN[net].split()]
    path = os.path.join(work, net + ".cfg")
    with open(path, "w", encoding="ascii") as file:
        file.write(configuration(*DARKNET[net]))
    return [executables[library], str(DARKNET[net][0]), path]
