"""Encoding texts: batches of one length against batches as they come, bfloat16 against float32, and what a million short texts take.

python benchmarks/texts.py                                  # ratios, then time and memory of 10,000 and 100,000 texts, extrapolated to 1,000,000
python benchmarks/texts.py --n 10000 --table ../shared/data/banking77/train.csv
"""
import argparse, os, resource, subprocess, sys, tempfile, time
from statistics import median

import numpy as np, torch

from upgradeability import extract, load_backbone, load_task
from upgradeability.texts import text_inputs
from upgradeability.features import batches, model_inputs
from upgradeability.runtimes import encode_batch, resolve_dtype
from upgradeability.tasks import make_task


def short_texts(n, seed=0):
    "n different texts of 3 to 12 words."
    rng = np.random.default_rng(seed)
    words = np.array("my card has not arrived where is it why was the payment declined twice can you help me please today again".split())
    return [f"{' '.join(rng.choice(words, rng.integers(3, 13)))} {i}" for i in range(n)]

def task_of(texts): return make_task("texts", text_inputs(texts), np.arange(len(texts)) % 2, dict(train=range(len(texts) - 100), test=range(len(texts) - 100, len(texts))), medium="text")

def seconds(backbone, inputs, rows, dtype, by_length):
    start = time.perf_counter()
    for _, batch in batches(inputs, rows, 64, by_length=by_length): encode_batch(backbone, batch, dtype)
    return time.perf_counter() - start

def ratios(backbone, texts, rounds):
    "Medians over several rounds, the ways taken in turn."
    rows = np.random.default_rng(0).permutation(len(texts))[:1024]
    inputs = model_inputs(backbone, task_of(texts))
    ways = {"float32, as they come": ("float32", False), "float32, by length": ("float32", True), "bfloat16, by length": ("bfloat16", True)}
    taken = {k: [] for k in ways}
    for _ in range(rounds + 1):
        for k, (dtype, by_length) in ways.items(): taken[k].append(seconds(backbone, inputs, rows, dtype, by_length))
    base = median(taken["float32, as they come"][1:])
    for k, v in taken.items(): print(f"{k:24} {len(rows) / median(v[1:]):8.0f} texts/s   {base / median(v[1:]):.2f}x")
    _, batch = next(batches(inputs, rows, 64))
    a, b = (encode_batch(backbone, batch, d)["x"] for d in ("float32", "bfloat16"))
    print(f"cosine of bfloat16 to float32: at least {((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min():.5f}")

def whole(n):
    "One process: extract n texts into an empty cache; prints seconds and peak memory in MB."
    with tempfile.TemporaryDirectory() as cache:
        os.environ["UPGRADEABILITY_CACHE"] = cache
        backbone = load_backbone("bundled:minilm", device="cpu")
        extract(backbone, task_of(short_texts(200, 1)))
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, time.perf_counter()
        f = extract(backbone, task_of(short_texts(n)))
        print(time.perf_counter() - start, before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, f.x.nbytes / 1e6)

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--table", help="a table of texts for the ratios")
    parser.add_argument("--whole", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.whole: return whole(args.whole)
    backbone = load_backbone("bundled:minilm", device="cpu")
    print(f"{backbone}\n{torch.get_num_threads()} threads; auto means {resolve_dtype('auto', backbone)} here; load {os.getloadavg()[0]:.1f}")
    ratios(backbone, list(load_task(f"csv:{args.table}").inputs.items) if args.table else short_texts(5000), args.rounds)
    found = []
    for n in (args.n // 10, args.n):
        took, before, peak, size = map(float, subprocess.run([sys.executable, __file__, "--whole", str(n)], capture_output=True, text=True, check=True).stdout.split())
        found.append((n, took, peak))
        print(f"{n:9,} texts: {took:7.1f} s, {n / took:6.0f} texts/s, peak {peak:6.0f} MB ({peak - before:.0f} above a warm start; the features are {size:.0f} MB, memory-mapped)")
    (n0, t0, m0), (n1, t1, m1) = found
    print(f"1,000,000 texts, extrapolated in a straight line: {(t1 + (t1 - t0) / (n1 - n0) * (1e6 - n1)) / 60:.0f} minutes, peak {m1 + (m1 - m0) / (n1 - n0) * (1e6 - n1):.0f} MB")

if __name__ == "__main__": main()
