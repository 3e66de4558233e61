# SPDX-License-Identifier: MIT
"""Whole training steps of the nets in tests/bench/nets, by Gradus and by PyTorch in alternation on one machine.

Run it by tests/bench/run.sh. Needs Python alone; PyTorch where it is to be compared. Never part of CI: a time is a
property of a machine and a minute. Wall time is the median of the rounds' medians, its spread their range. On a machine
that is shared the least time of a step and the CPU time of all threads say more; the ratio of each is PyTorch / Gradus.
GFLOP/s of one thread are by the shorter of wall and CPU time. The machine's peak is measured at the same number of threads.
"""
import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

# name: (file in nets/, words for bench, target ratio with one thread, with two)
NETS = {
    "tiny_sgd": ("tiny", ["--only=sgd_32"], 10, 10),
    "tiny_adam": ("tiny", ["--only=adam_32"], 12, 12),
    "bn_mlp": ("bn_mlp", [], 2.4, 4),
    "mlp800": ("mlp800", [], 1.6, 2.5),
    "lenet": ("lenet", [], 3.5, 3.5),
    "convnet": ("convnet", [], 2, 2),
    "sixconv": ("sixconv", [], 1.5, 1.4),
    "resnet20": ("resnet20", [], 2.2, 2.2),
    "stochastic": ("stochastic", [], 1.5, 1.2),
    "lenet_one": ("lenet", ["--one"], 3, None),
}


def fail(text):
    raise SystemExit(f"bench: {text}")


def build(compiler, net, executable):
    """Processor seconds of compiling and linking a net."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([compiler, "build", "-O3", os.path.join(HERE, "nets", net + ".gr"), "-o", executable], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Gradus:
    def __init__(self, executable, words, threads):
        self.words = [executable, "bench", f"--threads={threads}", *words]

    def steps(self, count, more=()):
        out = subprocess.run([*self.words, f"--steps={count}", *more], capture_output=True, text=True, check=False)
        lines = [line for line in out.stdout.splitlines() if line.startswith("{")]
        if out.returncode != 0 or not lines:
            fail(f"{' '.join(self.words)} ended with {out.returncode}:\n{out.stdout}{out.stderr}")
        return json.loads(lines[-1])

    def close(self):
        pass


class Peer:
    def __init__(self, python, name, threads):
        env = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads))
        self.process = subprocess.Popen([python, os.path.join(HERE, "peers.py"), name, str(threads)], env=env,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self.answer()["version"]

    def answer(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else fail(f"PyTorch ended with {self.process.wait()}")

    def steps(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(sides, seconds, rounds):
    """Turn by turn: each side takes `seconds` in all, cut in rounds. A list of results for each side."""
    counts = []
    for side in sides:
        first = side.steps(3)["median_us"]
        counts.append(max(3, min(100000, int(1e6 * seconds / rounds / first))))
    results = [[] for _ in sides]
    for _ in range(rounds):
        for side, count, result in zip(sides, counts, results):
            result.append(side.steps(count))
    return results


def middle(results, key):
    return statistics.median(r[key] for r in results)


def spread(results):
    values = [r["median_us"] for r in results]
    return 100 * (max(values) - min(values)) / statistics.median(values)


def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def cells_of(name, threads, ours, theirs, peak):
    target = NETS[name][1 + threads] if threads < 3 else None
    wall, cpu = middle(ours, "median_us"), middle(ours, "cpu_us")
    least = min(r["min_us"] for r in ours)
    rate = ours[0]["flops"] / (min(wall, cpu) if threads == 1 else wall) / 1e3
    cells = [name, str(ours[0]["batch"]), str(threads), number(wall), f"{spread(ours):.0f}%", number(least), number(cpu),
             f"{rate:.0f}", f"{100 * rate / peak:.0f}%" if peak else "",
             f"{max(r['resident_kib'] for r in ours) / 1024:.0f}"]
    if theirs:
        their_wall, their_cpu = middle(theirs, "median_us"), middle(theirs, "cpu_us")
        their_least = min(r["min_us"] for r in theirs)
        cells += [number(their_wall), f"{spread(theirs):.0f}%", number(their_least), number(their_cpu),
                  f"{max(r['resident_kib'] for r in theirs) / 1024:.0f}", f"{their_wall / wall:.2f}",
                  f"{their_least / least:.2f}", f"{their_cpu / cpu:.2f}", f"{target:g}" if target else ""]
    return cells


OURS = ["net", "batch", "threads", "Gradus us", "spread", "least", "CPU us", "GFLOP/s", "of peak", "MiB"]
THEIRS = ["PyTorch us", "spread", "least", "CPU us", "MiB", "ratio", "of least", "of CPU", "target"]


def table(rows, markdown):
    width = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for i, row in enumerate(rows):
        line = [row[0].ljust(width[0])] + [cell.rjust(w) for cell, w in zip(row[1:], width[1:])]
        print("| " + " | ".join(line) + " |" if markdown else "  ".join(line))
        if markdown and i == 0:
            print("|" + "|".join("-" * (w + 1) + ("-" if k == 0 else ":") for k, w in enumerate(width)) + "|")


def choices(text, names, what):
    chosen = text.split(",")
    for name in chosen:
        if name not in names:
            fail(f"{what} '{name}': one of {', '.join(names)}")
    return chosen


def main():
    parser = argparse.ArgumentParser(prog="tests/bench/run.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--nets", default=",".join(NETS), help=f"some of {', '.join(NETS)}")
    parser.add_argument("--threads", default="1,2", help="numbers of threads (default 1,2)")
    parser.add_argument("--seconds", type=float, default=3, help="for each side, net and number of threads (default 3)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side (default 5)")
    parser.add_argument("--alone", action="store_true", help="Gradus alone")
    parser.add_argument("--markdown", action="store_true", help="a table for a document")
    parser.add_argument("--gradus", default="build/gradus", help="the compiler (default build/gradus)")
    parser.add_argument("--work", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--python", default="/usr/bin/python3", help="one that has PyTorch")
    options = parser.parse_args()
    nets = choices(options.nets, NETS, "net")
    threads = [int(t) for t in options.threads.split(",")]
    peers = not options.alone and shutil.which(options.python) and subprocess.run(
        [options.python, "-c", "import torch"], capture_output=True, check=False).returncode == 0
    if not peers and not options.alone:
        print("PyTorch is missing, Gradus is measured alone; to compare: sh tests/setup.sh bench")
    compiled = []
    for file in dict.fromkeys(NETS[name][0] for name in nets):
        compiled.append(f"{file} {build(options.gradus, file, os.path.join(options.work, file)):.2f}")
    if os.getloadavg()[0] > 0.5:
        print(f"this machine is not quiet: a load of {os.getloadavg()[0]:.1f} before the first measurement")
    rows, notes = [OURS + THEIRS if peers else OURS], []
    for name in nets:
        file, words = NETS[name][:2]
        for count in threads:
            sides = [Gradus(os.path.join(options.work, file), words, count)]
            peak = sides[0].steps(1, ["--profile"]).get("peak_gflops")
            if peers:
                sides.append(Peer(options.python, name, count))
            results = measure(sides, options.seconds, options.rounds)
            rows.append(cells_of(name, count, results[0], results[1] if peers else None, peak))
            if peers:
                notes.append(f"{name} with {count}: {results[1][0]['order']}")
                version = sides[1].version
            for side in sides:
                side.close()
            print("  ".join(rows[-1]), file=sys.stderr, flush=True)
    table(rows, options.markdown)
    print(f"compiled in processor seconds: {', '.join(compiled)}")
    if peers:
        print(f"PyTorch {version}; order of memory: {'; '.join(notes)}")


if __name__ == "__main__":
    main()
