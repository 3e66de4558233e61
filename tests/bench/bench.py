# SPDX-License-Identifier: MIT
"""Whole training steps of the nets in tests/bench/nets, by Gradus and its peers in alternation on one machine.

Run it by tests/bench/run.sh. Needs Python alone; PyTorch, FANN and darknet (one thread) where they are to be compared. Never
part of CI: a time is a property of a machine and a minute. Wall time is the median of the rounds' medians, its spread their range. On a machine
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

import others

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
    def __init__(self, command, threads):
        env = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads))
        self.words = command
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        self.version = self.answer()["version"]

    def answer(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else fail(f"{' '.join(self.words)} ended with {self.process.wait()}")

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
        first = side.steps(1)["median_us"]
        if first < 1e5:
            first = side.steps(3)["median_us"]
        counts.append(max(3 if first < 1e6 else 1, min(100000, int(1e6 * seconds / rounds / first))))
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


def cells_of_others(name, ours, theirs):
    """A row of the second table: each library's time, its spread and its ratio to Gradus's; blanks where it was not measured."""
    wall = middle(ours, "median_us")
    cells = [name, str(ours[0]["batch"]), number(wall)]
    for library in others.LIBRARIES:
        results = theirs.get(library)
        cells += [number(middle(results, "median_us")), f"{spread(results):.0f}%",
                  f"{middle(results, 'median_us') / wall:.1f}"] if results else [""] * 3
    return cells


OURS = ["net", "batch", "threads", "Gradus us", "spread", "least", "CPU us", "GFLOP/s", "of peak", "MiB"]
THEIRS = ["PyTorch us", "spread", "least", "CPU us", "MiB", "ratio", "of least", "of CPU", "target"]
OTHERS = ["net", "batch", "Gradus us", *(word for name in others.LIBRARIES for word in (f"{name} us", "spread", "ratio"))]


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
    torch = not options.alone and shutil.which(options.python) and subprocess.run(
        [options.python, "-c", "import torch"], capture_output=True, check=False).returncode == 0
    executables = {} if options.alone else others.build(options.work)
    missing = [] if options.alone else [name for name, found in
                                        [("PyTorch", torch), *((n, n in executables) for n in others.LIBRARIES)] if not found]
    if missing:
        print(f"{', '.join(missing)}: not here, so not measured; to compare: sh tests/setup.sh bench")
    compiled = []
    for file in dict.fromkeys(NETS[name][0] for name in nets):
        compiled.append(f"{file} {build(options.gradus, file, os.path.join(options.work, file)):.2f}")
    if os.getloadavg()[0] > 0.5:
        print(f"this machine is not quiet: a load of {os.getloadavg()[0]:.1f} before the first measurement")
    rows, more, notes = [OURS + THEIRS if torch else OURS], [OTHERS], []
    for name in nets:
        file, words = NETS[name][:2]
        for count in threads:
            sides = {"Gradus": Gradus(os.path.join(options.work, file), words, count)}
            peak = sides["Gradus"].steps(1, ["--profile"]).get("peak_gflops")
            if torch:
                sides["PyTorch"] = Peer([options.python, os.path.join(HERE, "peers.py"), name, str(count)], count)
                version = sides["PyTorch"].version
            for library in others.LIBRARIES:
                command = others.command(executables, library, name, options.work)
                if command and count == 1:
                    sides[library] = Peer(command, count)
            results = dict(zip(sides, measure(sides.values(), options.seconds, options.rounds)))
            rows.append(cells_of(name, count, results["Gradus"], results.get("PyTorch"), peak))
            if torch:
                notes.append(f"{name} with {count}: {results['PyTorch'][0]['order']}")
            if any(library in sides for library in others.LIBRARIES):
                more.append(cells_of_others(name, results["Gradus"], results))
                print("  ".join(more[-1]), file=sys.stderr)
            for side in sides.values():
                side.close()
            print("  ".join(rows[-1]), file=sys.stderr, flush=True)
    table(rows, options.markdown)
    if len(more) > 1:
        print("\nOn one thread, beside libraries in C:\n")
        table(more, options.markdown)
    print(f"\ncompiled in processor seconds: {', '.join(compiled)}")
    if torch:
        print(f"PyTorch {version}; order of memory: {'; '.join(notes)}")


if __name__ == "__main__":
    main()
