"""What clusters gain and cost: `OMP_NUM_THREADS=1 python benchmarks/cluster.py [--engine loky|dask|ray] [--rounds 3]`.

1. Speed-up of two workers over a serial run, one thread each: eight models, new features and new cells in each round; serial and parallel runs take turns.
2. Seconds per job beyond its own work, after the first job of a worker: empty jobs, and cells of `majority` with the model loaded.
3. A sweep of a thousand jobs that only wait, as long as measured parts took, on 64 workers. Workers are threads, so this is the driver's share alone.
"""
import argparse, os, statistics, tempfile, time
import numpy as np, torch
from upgradeability import evaluate, load_task
from upgradeability.jobs import use_cluster, Workers

MODELS = [f'timm:{name}?random={seed}' for name in ('mobilenetv3_small_050', 'test_resnet') for seed in range(4)]


def fresh(): os.environ['UPGRADEABILITY_CACHE'] = tempfile.mkdtemp()


def seconds(f):
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def run(task, models=MODELS, protocols='knn, linear_probe', **options):
    fresh()
    evaluate(models, task, protocols=protocols, dtype='float32', out_dir=tempfile.mkdtemp(), **options)


def speed_up(task, engine, rounds):
    "Ratios of a serial run to one with two workers, round by round."
    for _ in range(rounds):
        serial = seconds(lambda: run(task))
        with use_cluster(engine, 2): parallel = seconds(lambda: run(task))
        print(f'  serial {serial:.1f} s, two workers {parallel:.1f} s: {serial / parallel:.2f} times')
        yield serial / parallel


def per_job(engine, task, n=200):
    "Seconds of a worker per job that does nothing, and per cell that does next to nothing, beyond those of a serial run."
    with use_cluster(engine, 2): empty = 2 * seconds(lambda: Workers()(int, range(n))) / n
    sizes = list(range(100, 140))
    cells = dict(models=MODELS[:1], protocols='majority', n_train=sizes)
    serial = seconds(lambda: run(task, **cells))
    with use_cluster(engine, 2): parallel = seconds(lambda: run(task, **cells))
    return empty, (2 * parallel - serial) / len(sizes)


def sweep(part, n_workers=64, n_jobs=1000):
    "The share of their time that workers work, where jobs take about as long as `part` seconds."
    waits = part * np.random.default_rng(0).gamma(4, 1 / 4, n_jobs)
    with use_cluster('threads', n_workers): wall = seconds(lambda: Workers()(time.sleep, waits))
    longest_first = waits.sum() / n_workers
    return longest_first / wall, wall


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--engine', default='loky')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--n', type=int, default=400, help='labels of digits')
    parser.add_argument('--part', type=float, default=3., help='seconds of a job of the sweep')
    args = parser.parse_args()
    torch.set_num_threads(1)
    task = load_task('digits').sample(args.n)
    print(f'{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, {args.engine}')
    if args.rounds:
        with use_cluster(args.engine, 2): print(f'workers start and import: {seconds(lambda: run(task, MODELS[:2], "knn")):.1f} s')
        ratios = list(speed_up(task, args.engine, args.rounds))
        print(f'speed-up with two workers: {statistics.median(ratios):.2f} times (median of {args.rounds})')
        empty, cell = per_job(args.engine, task)
        print(f'per job: {1000 * empty:.1f} ms if empty, {1000 * cell:.1f} ms beyond a serial run for a cell')
    share, wall = sweep(args.part)
    print(f'64 workers, 1,000 jobs of about {args.part} s: {share:.2f} of their time at work ({wall:.0f} s)')
