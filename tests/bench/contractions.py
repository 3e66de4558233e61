# SPDX-License-Identifier: MIT
"""Single contractions of the nets in tests/bench/nets: Gradus's kernels beside the best of oneDNN and OpenBLAS, one thread.

Run it by tests/bench/run.sh --contractions. Gradus's times are those of `bench --profile`, inside a whole step, with
whatever was fused to the contraction; the peers compute the contraction alone, oneDNN in the layouts that it chooses and
without the cost of coming to them. The least of several turns of each side.
"""
import argparse
import os
import re
import subprocess

import bench

# net: layer: channels, height, width, filters, kernel, stride, pad; a dense layer is kernel 1 on 1 x 1
LAYERS = {
    "bn_mlp": {"dense1": (784, 1, 1, 100, 1, 1, 0), "dense2": (100, 1, 1, 100, 1, 1, 0)},
    "mlp800": {"dense1": (784, 1, 1, 800, 1, 1, 0), "dense2": (800, 1, 1, 800, 1, 1, 0)},
    "lenet": {"conv1": (1, 28, 28, 20, 5, 1, 0), "conv2": (20, 12, 12, 50, 5, 1, 0), "dense1": (800, 1, 1, 500, 1, 1, 0)},
    "convnet": {"conv1": (3, 32, 32, 32, 5, 1, 2), "conv2": (32, 16, 16, 32, 5, 1, 2), "conv3": (32, 8, 8, 64, 5, 1, 2)},
    "sixconv": {"conv1": (3, 32, 32, 64, 3, 1, 1), "conv2": (64, 32, 32, 64, 3, 1, 1), "conv3": (64, 16, 16, 128, 3, 1, 1),
                "conv4": (128, 16, 16, 128, 3, 1, 1), "conv5": (128, 8, 8, 256, 3, 1, 1), "conv6": (256, 8, 8, 256, 3, 1, 1)},
    "resnet20": {"conv1": (3, 32, 32, 16, 3, 1, 1), "residual1.a.conv1": (16, 32, 32, 16, 3, 1, 1),
                 "residual4.a.conv1": (16, 32, 32, 32, 3, 2, 1), "residual4.s.conv1": (16, 32, 32, 32, 1, 2, 0),
                 "residual5.a.conv1": (32, 16, 16, 32, 3, 1, 1), "residual7.a.conv1": (32, 16, 16, 64, 3, 2, 1),
                 "residual8.a.conv1": (64, 8, 8, 64, 3, 1, 1)},
}
WAYS = ["forward", "to input", "to weights"]
ROW = re.compile(r"^ *([\d.]+) +[\d.]+% +([\d.]+) +[\d.]+ +(?:\d+%|-) +[\d.]+ +[\d.]+ +(?:\d+%|-) {6}(.*)$")


def way_of(kernel, layer):
    """Which contraction of a layer a kernel's name says it is; None for others."""
    weights = layer + ".W"
    if kernel.startswith(weights + ".grad"):
        return "to weights"
    factors = kernel.split(": ")[-1].split(" * ")
    if len(factors) == 2 and weights in factors:
        return "to input" if factors[0].endswith(".grad") or "grad" in factors[1 - factors.index(weights)] else "forward"
    return None


def profile(executable, steps):
    """{kernel: (least microseconds, MFLOP)} and the peak in GFLOP/s."""
    out = subprocess.run([executable, "bench", "--profile", "--threads=1", f"--steps={steps}"], capture_output=True,
                         text=True, check=True)
    peak = float(re.search(r'"peak_gflops":([\d.]+)', out.stdout).group(1))
    rows = filter(None, map(ROW.match, out.stderr.splitlines()))
    return {row.group(3): (float(row.group(1)), float(row.group(2))) for row in rows}, peak


def build_peers(work):
    program = os.path.join(work, "contractions")
    words = ["cc", "-std=gnu11", "-O2", os.path.join(bench.HERE, "contractions.c"), "-o", program, "-ldnnl", "-lopenblas"]
    if subprocess.run(words, capture_output=True, check=False).returncode == 0:
        return program
    print("oneDNN or OpenBLAS is missing, Gradus is measured alone; to compare: sh tests/setup.sh bench")
    return None


def ask_peers(program, shapes, seconds):
    """For each shape six microseconds: oneDNN and OpenBLAS, forward, input, weights."""
    env = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    text = "".join(" ".join(map(str, shape)) + "\n" for shape in shapes)
    out = subprocess.run([program, str(seconds)], input=text, capture_output=True, text=True, check=True, env=env)
    return [[float(word) for word in line.split()] for line in out.stdout.splitlines()]


def least(old, new):
    return [min(a, b) for a, b in zip(old, new)] if old else new


def net_rows(net, executable, peers, options):
    layers, kernels, best, peak = LAYERS[net], {}, None, 0
    batch = bench.Gradus(executable, [], 1).steps(1)["batch"]
    for _ in range(options.rounds):
        told, measured = profile(executable, options.steps)
        peak = max(peak, measured)
        for name, (time, work) in told.items():
            kernels[name] = (min(time, kernels.get(name, (time,))[0]), work)
        if peers:
            answer = ask_peers(peers, [(batch, *shape) for shape in layers.values()], options.seconds)
            best = [least(a, b) for a, b in zip(best or [None] * len(answer), answer)]
    rows = []
    for number, layer in enumerate(layers):
        for way, label in enumerate(WAYS):
            found = [(time, work, name) for name, (time, work) in kernels.items() if way_of(name, layer) == label]
            if not found:
                continue # the gradient to the data is nobody's
            time, work = sum(f[0] for f in found), sum(f[1] for f in found)
            row = [net, layer, label, f"{work:.1f}", f"{time:.1f}", f"{1e3 * work / time:.0f}", f"{1e5 * work / time / peak:.0f}%"]
            if best:
                one, blas = best[number][2 * way:2 * way + 2]
                fast = min(t for t in (one, blas) if t > 0)
                row += [f"{one:.1f}", f"{blas:.1f}" if blas else "", f"{fast / time:.2f}"]
            rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser(prog="tests/bench/run.sh --contractions", description=__doc__.splitlines()[0])
    parser.add_argument("--nets", default=",".join(LAYERS), help=f"some of {', '.join(LAYERS)}")
    parser.add_argument("--steps", type=int, default=10, help="of Gradus in a turn (default 10)")
    parser.add_argument("--seconds", type=float, default=0.05, help="of each peer's contraction in a turn (default 0.05)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side (default 3)")
    parser.add_argument("--markdown", action="store_true", help="a table for a document")
    parser.add_argument("--gradus", default="build/gradus", help="the compiler (default build/gradus)")
    parser.add_argument("--work", required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    peers = build_peers(options.work)
    rows = [["net", "layer", "contraction", "MFLOP", "Gradus us", "GFLOP/s", "of peak"]]
    if peers:
        rows[0] += ["oneDNN us", "OpenBLAS us", "best / Gradus"]
    for net in bench.choices(options.nets, LAYERS, "net"):
        executable = os.path.join(options.work, net)
        bench.build(options.gradus, net, executable)
        rows += net_rows(net, executable, peers, options)
    bench.table(rows, options.markdown)


if __name__ == "__main__":
    main()
