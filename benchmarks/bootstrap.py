"""How fast the bootstrap is, and how its time and memory grow: `python benchmarks/bootstrap.py`.

Ratios are medians over several rounds in which the competitors take turns, so that they share whatever else the machine is doing.
"""
import argparse, statistics, time, tracemalloc
import numpy as np
from scipy import stats
from upgradeability.intervals import bootstrap
from upgradeability.metrics import METRICS, Predictions


def make(n, classes=10, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    scores = rng.random((n, classes)) + np.eye(classes)[y]
    return Predictions(np.arange(n), y, scores.argmax(1), scores / scores.sum(1, keepdims=True))


def naive(predictions, metric, n_boot, seed=0):
    "Draw units, add up their rows, one resample at a time."
    table, rng = metric.unit_stats(predictions).toarray(), np.random.default_rng(seed)
    return np.array([metric.reduce(table[rng.integers(len(table), size=len(table))].sum(0)) for _ in range(n_boot)])


def by_scipy(predictions, metric, n_boot):
    "scipy.stats.bootstrap over the unit values of a mean, vectorised in batches."
    values = metric.unit_stats(predictions).toarray()[:, 0]
    return stats.bootstrap((values,), np.mean, n_resamples=n_boot, method='percentile', batch=100, rng=np.random.default_rng(0)).bootstrap_distribution


def seconds(f):
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def peak(f):
    tracemalloc.start()
    f()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / 2**20


def ratios(n, n_boot, rounds):
    print(f'\n{n:,} examples, {n_boot:,} resamples: seconds (median of {rounds}), and how many times longer the others take')
    p = make(n)
    for name in ('accuracy', 'macro_f1', 'log_loss'):
        metric, times = METRICS[name], {'ours': [], 'loop': [], 'scipy': []}
        for _ in range(rounds):
            times['ours'].append(seconds(lambda: bootstrap(p, metric, n_boot=n_boot)))
            times['loop'].append(seconds(lambda: naive(p, metric, n_boot)))
            if name != 'macro_f1': times['scipy'].append(seconds(lambda: by_scipy(p, metric, n_boot)))
        against = {k: statistics.median(b / a for a, b in zip(times['ours'], times[k])) for k in ('loop', 'scipy') if times[k]}
        print(f"  {name:10}{statistics.median(times['ours']):9.4f} s" + ''.join(f'   {k} {v:7.1f} x' for k, v in against.items()))


def growth(n_boot, sizes, rounds):
    print(f'\n{n_boot:,} resamples by number of examples: seconds (median of {rounds}) and peak memory beside the weights as one matrix')
    for n in sizes:
        p, cells = make(n), []
        for name in ('accuracy', 'macro_f1', 'log_loss'):
            run = lambda: bootstrap(p, name, n_boot=n_boot)
            cells.append(f'{name} {statistics.median(seconds(run) for _ in range(rounds)):7.3f} s {peak(run):4.0f} MB')
        print(f"  {n:8,}   {'   '.join(cells)}   (matrix {n * n_boot * 8 / 2**20:,.0f} MB)")


if __name__ == '__main__':
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument('--rounds', type=int, default=5)
    options.add_argument('--n-boot', type=int, default=10_000, help='resamples in the growth table')
    args = options.parse_args()
    ratios(2_000, 2_000, args.rounds)
    growth(args.n_boot, (1_000, 10_000, 100_000), min(args.rounds, 3))
