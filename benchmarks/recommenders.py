"""Time and memory of each recommender on made-up interactions: `python benchmarks/recommenders.py --users 20000 --items 5000`.

The items' vectors are noise, so the figures are about cost only. Memory is the peak of the process so far, in the order of the table.
"""
import argparse, resource, sys, time
import numpy as np
from upgradeability.features import Features
from upgradeability.intervals import score
from upgradeability.kinds.recommendation_protocols import RECOMMENDERS
from upgradeability.media import array_inputs
from upgradeability.tasks import make_task


def interactions(n_users, n_items, dim, each, seed=0):
    "A task in which popularity falls off as in real catalogues, and the features of its items."
    rng = np.random.default_rng(seed)
    popular = np.arange(1, n_items + 1) ** -.7
    pairs = np.unique(np.repeat(np.arange(n_users), each) * n_items + rng.choice(n_items, n_users * each, p=popular / popular.sum()))
    rng.shuffle(pairs)
    pairs = pairs[np.argsort(pairs // n_items, kind='stable')]
    users, items = pairs // n_items, pairs % n_items
    n = np.bincount(users)
    when = (np.arange(len(users)) - np.repeat(np.cumsum(n) - n, n)) / n[users]
    splits = {k: np.flatnonzero((when >= a) & (when < b)) for k, a, b in [('train', 0, .64), ('valid', .64, .8), ('test', .8, 1)]}
    x = rng.normal(size=(n_items, dim)).astype(np.float32)
    task = make_task('made-up', array_inputs(x), list(items), splits, classes=list(range(n_items)), medium='array', kind='recommendation', unit=users, metric='ndcg@10')
    return task, Features(x, np.arange(n_items), np.arange(n_items), None, {}, None, {})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in dict(users=20_000, items=5_000, dim=384, each=50).items(): parser.add_argument(f'--{name}', type=int, default=default)
    parser.add_argument('--protocols', default='majority,linear_probe,from_scratch,knn')
    o = parser.parse_args()
    task, features = interactions(o.users, o.items, o.dim, o.each)
    print(f'{o.users:,} users, {o.items:,} items of {o.dim} features, {len(task.y):,} interactions')
    for name in o.protocols.split(','):
        start, cpu = time.perf_counter(), time.process_time()
        parts = RECOMMENDERS[name](None, task, lambda backbone: features, seed=0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == 'darwin' else 1e6)
        print(f'  {name:14}{time.perf_counter() - start:8.1f} s (CPU {time.process_time() - cpu:.1f} s)   peak {peak:.2f} GB   {score(parts["test"], "ndcg@10")}', flush=True)


if __name__ == '__main__': main()
