"""The linear probe against scikit-learn's grid search and the neighbours against FAISS: `python benchmarks/heads.py`.

Made features by default: a falling spectrum, as networks have. `--x FILE.npz` (arrays x, y) is measured instead. Each is run in turn, several
times; times are medians. scikit-learn with its usual tolerance stops before the optimum where the penalty is weak: `excess` says how far from it
the final fit may be. `--exact` runs it with a tolerance at which the final fit is as exact as the probe. FAISS: `pip install faiss-cpu`.
"""
import argparse, resource, time
import numpy as np, torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from upgradeability.logistic import Probe, excess_bound, fit_probe, standardiser
from upgradeability.protocols import CS, choose_fit, neighbours

SIZES = (2000, 1280, 10), (10_000, 384, 77), (5000, 2048, 10)


def made(n, d, classes, seed=0, apart=.5, wrong=.1):
    "(features (n, d) with correlations, classes (n,) of which a share is wrong, so that no probe separates them)."
    rng = np.random.default_rng(seed)
    y = np.r_[np.arange(classes), rng.integers(classes, size=n - classes)]
    means = rng.normal(size=(classes, d)).astype(np.float32) * apart
    spectrum = np.arange(1, d + 1, dtype=np.float32) ** -.5
    turn, _ = np.linalg.qr(rng.normal(size=(d, d)).astype(np.float32))
    x = means[y] + rng.standard_normal((n, d), np.float32)
    is_wrong = rng.random(n) < wrong
    y[is_wrong] = rng.integers(classes, size=is_wrong.sum())
    return x * spectrum @ turn, y


def ours(x, y, n_train, grid=CS):
    choices, near = choose_fit(x, y, n_train, y.max() + 1, grid=grid, patience=5)
    _, facts = fit_probe(x, y, choices['C'], y.max() + 1, near)
    return choices['C'], facts['excess']


def theirs(x, y, n_train, tol):
    fold = np.where(np.arange(len(y)) < n_train, -1, 0)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=20_000, tol=tol))
    search = GridSearchCV(model, {'logisticregression__C': CS}, scoring='neg_log_loss', cv=PredefinedSplit(fold)).fit(x, y)
    best, C = search.best_estimator_[-1], search.best_params_['logisticregression__C']
    weights, biases = best.coef_, best.intercept_
    if len(biases) == 1: weights, biases = np.r_[0 * weights, weights], np.r_[0 * biases, biases]
    scale, _ = standardiser(x)
    probe = Probe(scale, weights[:, scale.keep], biases, best.classes_, y.max() + 1)
    return C, excess_bound(probe, x, y, C)


def timed(f, *a):
    start, cpu = time.perf_counter(), time.process_time()
    return f(*a), time.perf_counter() - start, time.process_time() - cpu


def probes(x, y, repeats, tol):
    n_train = int(.8 * len(y))
    runs = [(timed(ours, x, y, n_train), timed(theirs, x, y, n_train, tol)) for _ in range(repeats)]
    ours_s, theirs_s = (np.median([run[who][1] for run in runs]) for who in (0, 1))
    ours_cpu, theirs_cpu = (np.median([run[who][2] for run in runs]) for who in (0, 1))
    (C, bound), (their_C, their_bound) = runs[0][0][0], runs[0][1][0]
    print(f'{len(x):,} x {x.shape[1]:,}, {y.max() + 1} classes: {ours_s:.2f} s, C={C:g}, excess {bound:.0e};  scikit-learn (tol {tol:g}) {theirs_s:.2f} s, '
          f'C={their_C:g}, excess {their_bound:.0e};  ratio {theirs_s / ours_s:.1f} (CPU time {theirs_cpu / ours_cpu:.1f})', flush=True)


def nearest(n, m, d, repeats, k=50):
    import faiss
    faiss.omp_set_num_threads(torch.get_num_threads())
    rng = np.random.default_rng(0)
    x, queries = rng.standard_normal((n, d), np.float32), rng.standard_normal((m, d), np.float32)
    def flat(x, queries):
        x, queries = x.copy(), queries.copy()
        for a in (x, queries): faiss.normalize_L2(a)
        index = faiss.IndexFlatIP(d)
        index.add(x)
        return index.search(queries, k)[1]
    runs = [(timed(neighbours, x, queries, k), timed(flat, x, queries)) for _ in range(repeats)]
    ours_s, theirs_s = (np.median([run[who][1] for run in runs]) for who in (0, 1))
    ours_cpu, theirs_cpu = (np.median([run[who][2] for run in runs]) for who in (0, 1))
    same = (runs[0][0][0] == runs[0][1][0]).mean()
    print(f'{n:,} x {m:,}, {d} columns: {ours_s:.2f} s; FAISS {theirs_s:.2f} s; ratio {theirs_s / ours_s:.2f} (CPU time {theirs_cpu / ours_cpu:.2f}); {same:.2%} the same', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--x', help='a file with arrays x and y, instead of made features')
    parser.add_argument('--exact', type=float, help='the tolerance of scikit-learn, such as 1e-7', default=1e-4)
    parser.add_argument('--large', action='store_true', help='only 100,000 x 768 with 1,000 classes, without scikit-learn')
    parser.add_argument('--strengths', help='for --large, those tried before the grid is widened, such as 1e-3; default: the whole grid')
    parser.add_argument('--size', help='rows x features x classes instead of the usual three, such as 2000x1280x10')
    parser.add_argument('--knn', action='store_true', help='only the neighbours')
    o = parser.parse_args()
    print(f'{torch.get_num_threads()} threads')
    if o.large:
        x, y = made(100_000, 768, 1000, apart=1.)
        grid = [float(C) for C in o.strengths.split(',')] if o.strengths else CS
        (C, bound), seconds, cpu = timed(ours, x, y, 80_000, grid)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f'100,000 x 768, 1,000 classes: {seconds:.0f} s (CPU {cpu:.0f} s), C={C:g}, excess {bound:.0e}, peak {peak:.2f} GB')
    elif o.knn: nearest(60_000, 12_000, 384, o.repeats)
    elif o.x:
        found = np.load(o.x)
        probes(found['x'], found['y'], o.repeats, o.exact)
    else:
        sizes = [tuple(map(int, o.size.split('x')))] if o.size else SIZES
        for size in sizes: probes(*made(*size), o.repeats, o.exact)


if __name__ == '__main__': main()
