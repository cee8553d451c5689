"Protocols against independent answers: scikit-learn, slow loops, by-hand sums; and that choices see train only."
import re
from dataclasses import replace
from functools import partial
import numpy as np, pytest, torch
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from upgradeability import finetuning as ft, logistic as lg, protocols as pr
from upgradeability.features import Features, extract, model_inputs
from upgradeability.intervals import score
from upgradeability.kind import Kind
from upgradeability.metrics import METRICS, Metric, Predictions, per_unit
from upgradeability.models import imagenet_classes, load_backbone
from upgradeability.finetuning import fine_tune, from_scratch
from upgradeability.protocols import PROTOCOLS
from upgradeability.recipes import Recipe, augment_batch, trained_names
from upgradeability.logistic import LogLoss, Probe, excess_bound, fit_probe, minimise, standardiser
from upgradeability.heads import CIFAR10_IN_IMAGENET, class_columns
from upgradeability.protocols import CS, arrays_of, as_is, choose_C, choose_k, choose_ridge, fit_ridge, fit_rows, knn, linear_probe, neighbours, random_probe, vote
from upgradeability.datasets import load_task


# --- tasks whose examples are their own features

def blobs(n, d, classes, sep, seed):
    rng = np.random.default_rng(seed)
    y = np.r_[np.tile(np.arange(classes), 2), rng.integers(classes, size=n - 2 * classes)]
    x = rng.normal(size=(n, d)) * rng.lognormal(size=d) + sep * rng.normal(size=(classes, d))[y]
    return x, y


def array_task(n=150, d=12, classes=3, sep=.6, seed=0, n_test=90):
    x, y = blobs(n + n_test, d, classes, sep, seed)
    x = x.astype(np.float32)
    return load_task((x[:n], y[:n], x[n:], y[n:]))


def given(task, x=None):
    "The features function of a network that returns what it is given."
    x = task.inputs.items if x is None else x
    f = Features(np.asarray(x, np.float32), task.y, np.arange(len(task.y)), None, task.splits, None, {})
    return lambda backbone: f


def with_splits(task, train, valid): return replace(task, splits=dict(task.splits, train=np.asarray(train), valid=np.asarray(valid, np.int64)))


def same(a, b, atol=0):
    for split in ('train', 'test'):
        assert np.array_equal(a[split].pred, b[split].pred)
        np.testing.assert_allclose(a[split].scores, b[split].scores, rtol=0, atol=atol)


# --- the probe's optimum

def objective(x, y, C):
    "Mean log-loss and penalty as scikit-learn defines them, with the gradient, from the formula."
    (n, d), k = x.shape, y.max() + 1
    rows = 1 if k == 2 else k
    def f(v):
        w = v.reshape(rows, d + 1)
        z = x @ w[:, :d].T + w[:, d]
        z = np.c_[np.zeros(n), z] if rows == 1 else z
        top = z.max(1, keepdims=True)
        log_p = z - top - np.log(np.exp(z - top).sum(1, keepdims=True))
        r = (np.exp(log_p) - np.eye(k)[y])[:, -rows:] / n
        grad = np.c_[r.T @ x + w[:, :d] / (C * n), r.sum(0)]
        return -log_p[np.arange(n), y].mean() + (w[:, :d]**2).sum() / (2 * C * n), grad.ravel()
    return f, rows * (d + 1)


def reached(probe, x, y, C):
    "The objective that a probe of either kind has reached."
    weights, biases = (probe.weights, probe.biases) if isinstance(probe, Probe) else (probe.coef_, probe.intercept_)
    if len(biases) == 2: weights, biases = weights[1:], biases[1:] # those of the first class are zero
    return objective(probe.scale(x) if isinstance(probe, Probe) else x, y, C)[0](np.c_[weights, biases].ravel())[0]


def as_probe(model, scale, classes):
    "A model of scikit-learn as a probe."
    return Probe(scale, model.coef_, model.intercept_, np.arange(classes), classes)


@pytest.mark.parametrize('n, d, classes, sep', [(80, 10, 2, .5), (30, 60, 2, .3), (120, 15, 5, .4), (60, 90, 6, 1.)])
def test_probe_reaches_the_optimum(n, d, classes, sep):
    x, y = blobs(n, d, classes, sep, seed=n)
    scale, _ = standardiser(x)
    loss, scaled = LogLoss(x, y, scale), scale(x)
    loss.precision, weights = torch.float64, loss.start()
    for C in CS:
        loss.set_strength(C)
        weights = minimise(loss, weights, 1e-7, with_proof=True)
        warm, (cold, facts) = Probe(scale, *loss.layer(weights), loss.classes, classes), fit_probe(x, y, C, classes)
        ours = reached(warm, x, y, C), reached(cold, x, y, C)
        theirs = reached(LogisticRegression(C=C, solver='newton-cg', tol=1e-10, max_iter=1000).fit(scaled, y), scaled, y, C)
        f, size = objective(scaled, y, C)
        start = np.c_[warm.weights, warm.biases][-(classes if classes > 2 else 1):].ravel()
        best = min(theirs, minimize(f, start, jac=True, method='L-BFGS-B', options=dict(maxiter=3000, gtol=1e-10, ftol=0)).fun)
        assert max(ours) - best < 1e-6, C
        assert excess_bound(warm, x, y, C) < 1e-6 and facts['converged']


@pytest.mark.parametrize('n, d, classes', [(120, 15, 5), (60, 90, 3), (300, 40, 2)])
def test_leading_axes_and_a_start_nearby_reach_the_same_optimum(n, d, classes, monkeypatch):
    x, y = blobs(n, d, classes, .4, seed=n)
    others = np.r_[np.flatnonzero(y > 0), n - 1] # without most or all rows of a class
    near, _ = fit_probe(x[others], y[others], .1, classes) if classes > 2 else fit_probe(x[::2], y[::2], .1, classes)
    for C in (1e-3, 1., 100.):
        plain, _ = fit_probe(x, y, C, classes)
        with monkeypatch.context() as m:
            m.setattr(lg, 'is_worth_turning', lambda *a: False)
            m.setattr(lg, 'LEADING', 8)
            for start in (None, near):
                probe, facts = fit_probe(x, y, C, classes, start)
                assert facts['converged']
                np.testing.assert_allclose(probe(x), plain(x), atol=1e-4)
        np.testing.assert_allclose(fit_probe(x, y, C, classes, near)[0](x), plain(x), atol=1e-4)


@pytest.mark.parametrize('C', [1e-10, 1e-6, 1e-4])
def test_strong_penalty_leaves_the_class_shares(C):
    "The intercept is not penalised: without weights the probabilities are the shares, however rare a class."
    y = np.repeat([0, 1, 2], [2, 5, 53])
    x = np.random.default_rng(0).normal(size=(60, 8))
    loss = LogLoss(x, y, standardiser(x)[0])
    loss.set_strength(C)
    weights = minimise(loss, np.zeros(27), 1e-8) # a start from zero, which is far for the intercepts
    probe = Probe(standardiser(x)[0], *loss.layer(weights), loss.classes, 3)
    np.testing.assert_allclose(probe(x).mean(0), np.bincount(y) / 60, atol=2e-4)
    scaled = probe.scale(x)
    theirs = LogisticRegression(C=C, solver='newton-cg', tol=1e-12, max_iter=1000).fit(scaled, y)
    assert reached(fit_probe(x, y, C, 3)[0], x, y, C) - reached(theirs, scaled, y, C) < 1e-9


def test_certificate_bounds_the_true_excess(monkeypatch):
    x, y = blobs(90, 12, 3, .3, seed=1)
    scale, _ = standardiser(x)
    best = reached(fit_probe(x, y, 10., 3)[0], x, y, 10.)
    for tol in (1e-1, 1e-2, 1e-3):
        careless = as_probe(LogisticRegression(C=10., tol=tol).fit(scale(x), y), scale, 3)
        true = reached(careless, x, y, 10.) - best
        assert true - 1e-7 <= excess_bound(careless, x, y, 10.) + 1e-5 # the bound speaks of the weights; intercepts add their mite
    monkeypatch.setattr(lg, 'minimise', lambda loss, weights, within, **kw: weights)
    assert not fit_probe(x, y, 100., 3)[1]['converged']


def test_pieces_features_in_files_and_rough_products_change_nothing(monkeypatch, tmp_path):
    "Features read three rows at a time, tables on the disk, bfloat16 where the processor has it, against one piece in memory."
    x, y = blobs(70, 20, 3, .4, seed=5)
    whole, _ = fit_probe(x, y, 1., 3)
    monkeypatch.setenv('UPGRADEABILITY_CACHE', str(tmp_path))
    monkeypatch.setattr(lg, 'MOST_IN_MEMORY', 0)
    monkeypatch.setattr(lg, 'FEW', 0)
    monkeypatch.setattr(lg, 'pieces', lambda n, width, pieces=lg.pieces: pieces(n, width, 3 * width))
    np.save(tmp_path/'x.npy', x)
    small, facts = fit_probe(np.load(tmp_path/'x.npy', mmap_mode='r'), y, 1., 3)
    np.testing.assert_allclose(small(x), whole(x), atol=1e-4) # both end within 1e-7 nats of the optimum
    assert facts['converged'] and not list(tmp_path.glob('*/*'))


@pytest.mark.parametrize('shift', [0, 1e4])
def test_offsets_of_features_cost_no_precision(shift):
    x, y = blobs(60, 8, 3, .5, seed=2)
    plain, moved = (fit_probe((x + s).astype(np.float32), y, 1., 3)[0]((x + s).astype(np.float32)) for s in (0, shift))
    np.testing.assert_allclose(moved, plain, atol=5e-3)


def test_linear_probe_is_scikit_learn_on_train_and_valid():
    "Chosen C, then fitted anew on the union, standardised anew."
    task = array_task(seed=3)
    out = linear_probe(None, task, given(task))
    rows, x = fit_rows(task), task.inputs.items.astype(float)
    assert len(task.splits['valid']) and np.array_equal(out['train'].ids, rows)
    scaler = StandardScaler().fit(x[rows])
    theirs = LogisticRegression(C=out['test'].meta['choices']['C'], solver='newton-cg', tol=1e-10, max_iter=1000).fit(scaler.transform(x[rows]), task.y[rows])
    for split, r in [('train', rows), ('test', task.splits['test'])]:
        np.testing.assert_allclose(out[split].scores, theirs.predict_proba(scaler.transform(x[r])), atol=1e-4)


# --- the choice of C

def test_early_end_of_the_walk_changes_no_choice():
    for seed in range(36):
        rng = np.random.default_rng(seed)
        n, d, classes = int(rng.choice([30, 60, 90])), int(rng.choice([5, 20, 60])), int(rng.choice([2, 3, 4]))
        x, y = blobs(n, d, classes, rng.choice([.1, .3, 1, 3]), seed)
        n_train = n if seed % 9 == 0 else int(.8 * n)
        short, full = choose_C(x, y, n_train, classes), choose_C(x, y, n_train, classes, patience=99)
        assert short['C'] == full['C'], (seed, short, full)
        assert short['tried'] <= full['tried'] and set(short['log_loss']) <= set(full['log_loss'])


def test_a_glance_at_worse_strengths_changes_no_choice(monkeypatch):
    "The chosen strength is that of exact fits of the whole grid."
    rng, problems = np.random.default_rng(1), []
    for seed in range(8):
        n, d, classes = int(rng.choice([40, 90, 200])), int(rng.choice([5, 20, 60])), int(rng.choice([2, 4, 8]))
        problems.append((*blobs(n, d, classes, rng.choice([.1, .3, 1, 3]), seed), int(.8 * n), classes))
    chosen = [choose_C(*p, patience=5)['C'] for p in problems]
    for name in ('GLANCE', 'ROUGH'): monkeypatch.setattr(pr, name, 1e-5)
    assert chosen == [choose_C(*p, patience=99)['C'] for p in problems]
    assert len(set(chosen)) > 3


@pytest.mark.parametrize('losses, seen', [
    ([5, 4, 3, 4, 5, 6, 7, 8, 1], 8), ([5, 4, 3, 4, 5, 6, 7, 2, 3], 9), # a second valley is found within five steps
    ([5, 6, 7, 8, 9, 9, 9, 1, 2], 9), ([5, 5, 5, 5 - 1e-8, 5, 5, 5, 5, 1], 9)]) # a plateau ends nothing
def test_walk(losses, seen):
    asked = []
    pr._walk(lambda C: asked.append(C) or losses[C], range(9), 5)
    assert asked == list(range(seen))


def test_grid_is_widened_at_both_ends_and_the_boundary_recorded():
    rng = np.random.default_rng(0)
    noise, y = rng.normal(size=(100, 30)), np.arange(100) % 2
    low = choose_C(noise, y, 80, 2)
    assert (low['C'], low['boundary']) == (pytest.approx(1e-10), True)
    clear = choose_C(noise[:, :2] * .1 + y[:, None], y, 80, 2)
    assert clear['C'] > 1e4 and max(clear['log_loss']) == pytest.approx(1e6) and not clear['boundary']
    hidden = choose_C(np.c_[noise[:, 0], noise[:, 0] + 1e-2 * y], y, 80, 2) # only huge weights can tell these two features apart
    assert (hidden['C'], hidden['boundary']) == (pytest.approx(1e8), True)
    middle = choose_C(*blobs(100, 20, 2, .5, 0), 80, 2)
    assert not middle['boundary'] and 1e-6 < middle['C'] < 1e4


def test_boundary_is_noted():
    outs = [linear_probe(None, t, given(t))['test'].meta for t in (array_task(sep=0, d=30, seed=seed) for seed in range(6))]
    assert {m['choices']['boundary'] for m in outs} == {True, False}
    for m in outs: assert m['choices']['boundary'] == any('boundary' in n for n in m['notes'])


def test_ties_go_to_the_stronger_penalty():
    assert pr._strongest_best({1e-2: .7, .1: .5000004, 1.: .5, 10.: .6}) == .1
    assert pr._strongest_best({.1: .5001, 1.: .5}) == 1.


def test_log_loss_judges_valid_only_by_a_fit_on_train_only():
    x, y = blobs(100, 10, 3, .5, 2)
    n_train, C = 75, .1
    scaler = StandardScaler().fit(x[:n_train])
    theirs = LogisticRegression(C=C, solver='newton-cg', tol=1e-10).fit(scaler.transform(x[:n_train]), y[:n_train]).predict_proba(scaler.transform(x[n_train:]))
    assert choose_C(x, y, n_train, 3)['log_loss'][C] == pytest.approx(-np.log(theirs[np.arange(25), y[n_train:]]).mean(), abs=1e-5)


def test_few_labels_are_cross_validated():
    task = array_task(n=12, classes=3, sep=2)
    assert len(task.splits['valid']) == 0
    for protocol, words in [(linear_probe, '-fold cross-validation'), (knn, 'leave-one-out')]:
        choices = protocol(None, task, given(task))['test'].meta['choices']
        assert words in choices['by'] and choices['tried'] > 1


def test_every_label_but_the_single_ones_is_judged_once():
    y = np.array([0, 1, 1, 2, 2, 2, 0, 0, 3, 1, 2, 2, 2])
    folds = pr.choice_folds(y, len(y))
    judged = np.concatenate([j for _, j in folds])
    assert sorted(judged) == [i for i in range(len(y)) if y[i] != 3] and len(folds) == 5
    for fit, judge in folds: assert set(fit) | set(judge) == set(range(len(y))) and not set(fit) & set(judge) and set(y[fit]) == {0, 1, 2, 3}


def test_one_label_per_class_is_the_default_and_a_note():
    task = array_task(classes=3, sep=3)
    one = with_splits(task, [np.flatnonzero(task.y[:150] == c)[0] for c in range(3)], [])
    for protocol, default in [(linear_probe, ('C', 1.)), (knn, ('k', 1))]:
        meta = protocol(None, one, given(one))['test'].meta
        assert meta['choices'][default[0]] == default[1] and meta['choices']['tried'] == 0
        assert any('one label per class' in n for n in meta['notes'])


def test_dead_features_are_dropped_and_counted():
    task, rng = array_task(), np.random.default_rng(0)
    x = task.inputs.items
    dead = np.c_[x, np.full((len(x), 2), .1), 1e-9 * rng.normal(size=(len(x), 1))]
    out, plain = linear_probe(None, task, given(task, dead)), linear_probe(None, task, given(task))
    assert out['test'].meta['choices']['dropped_features'] == 3 and any(n.startswith('3 features') for n in out['test'].meta['notes'])
    same(out, plain)


@pytest.mark.parametrize('value', [0, .1, 1 / 3, 1e6])
def test_constant_features_are_an_error(value):
    task = array_task()
    with pytest.raises(ValueError, match='None of the 3 features varies over the 7'): standardiser(np.full((7, 3), value)) # in float64 a mean is off by rounding
    with pytest.raises(ValueError, match='None of the 7 features varies over the 1'): linear_probe(None, task, given(task, np.full((len(task.y), 7), value)))


def test_probe_does_not_depend_on_scale_offset_or_order():
    task, rng = array_task(seed=7), np.random.default_rng(0)
    plain = linear_probe(None, task, given(task))
    scaled = linear_probe(None, task, given(task, task.inputs.items * rng.uniform(.1, 10, 12) + rng.normal(size=12)))
    assert scaled['test'].meta['choices']['C'] == plain['test'].meta['choices']['C']
    same(scaled, plain, atol=1e-3)
    shuffled = with_splits(task, rng.permutation(task.splits['train']), rng.permutation(task.splits['valid']))
    other = linear_probe(None, shuffled, given(shuffled))
    assert other['test'].meta['choices']['C'] == plain['test'].meta['choices']['C']
    np.testing.assert_allclose(other['test'].scores, plain['test'].scores, atol=1e-3)


# --- ridge

def numbers(n, d, noise=1., seed=0):
    "(x, y): features of all sizes, and a number that is linear in three of them."
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * rng.lognormal(size=d) + 5
    return x, (x / x.std(0))[:, :3] @ [2, -1, 1] + noise * rng.normal(size=n) + 40


@pytest.mark.parametrize('strength', [1e-4, 1., 1e3])
@pytest.mark.parametrize('n, d', [(60, 8), (30, 90), (40, 40)])
def test_ridge_is_that_of_scikit_learn(n, d, strength):
    x, y = numbers(n + 20, d)
    ours, theirs = fit_ridge(x[:n], y[:n], strength), make_pipeline(StandardScaler(), Ridge(alpha=strength)).fit(x[:n], y[:n])
    np.testing.assert_allclose(ours(x), theirs.predict(x), rtol=1e-8)
    weights, biases = ours.head()
    assert weights.shape == (1, d) and biases.shape == (1,)
    np.testing.assert_allclose(x @ weights[0] + biases, ours(x), rtol=1e-8)


def test_ridge_drops_dead_features():
    x, y = numbers(60, 5)
    dead = np.c_[x, np.full(60, .1)]
    np.testing.assert_allclose(fit_ridge(dead, y, 1.)(dead), fit_ridge(x, y, 1.)(x), rtol=1e-10)
    assert fit_ridge(dead, y, 1.).head()[0][0, 5] == 0


@pytest.mark.parametrize('n, d', [(100, 20), (40, 70)])
def test_strength_of_ridge_is_chosen_by_the_slow_loop_too(n, d):
    x, y = numbers(n, d, noise=3.)
    train = slice(0, int(.75 * n))
    found = choose_ridge(x, y, train.stop, codes=np.zeros(n, int))
    for strength, error in found['squared_error'].items():
        theirs = make_pipeline(StandardScaler(), Ridge(alpha=strength)).fit(x[train], y[train]).predict(x[train.stop:])
        assert error == pytest.approx(((theirs - y[train.stop:])**2).mean() / y.var(), rel=1e-6)
    best = min(found['squared_error'].values())
    assert found['strength'] == max(s for s, error in found['squared_error'].items() if error <= best + pr.TIE)
    assert found['by'] == 'valid squared error' and found['tried'] == len(found['squared_error']) == 11 and not found['boundary']


def test_strength_of_ridge_does_not_depend_on_units_of_the_target():
    x, y = numbers(100, 20, noise=3.)
    a, b = (choose_ridge(x, v, 75, codes=np.zeros(100, int)) for v in (y, 1e4 * y - 7))
    assert a['strength'] == b['strength'] and np.allclose(list(a['squared_error'].values()), list(b['squared_error'].values()))


def test_ridge_without_valid_is_cross_validated_in_strata_or_groups():
    x, y = numbers(60, 10)
    codes = np.searchsorted(np.quantile(y, [.25, .5, .75]), y)
    assert choose_ridge(x, y, 60, codes=codes)['by'] == 'squared error in 5-fold cross-validation'
    assert choose_ridge(x, y, 60, codes=codes, groups=np.arange(60) // 4)['by'] == 'squared error in 5-fold cross-validation'
    alone = choose_ridge(x[:4], y[:4], 4, codes=np.arange(4))
    assert alone == dict(strength=1., tried=0, by='default: too few labels to choose by', boundary=False)


def test_ridge_at_the_boundary():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 30))
    noise = choose_ridge(x, rng.normal(size=100), 80, codes=np.zeros(100, int))
    assert (noise['strength'], noise['boundary'], noise['tried']) == (1e10, True, 15) and list(noise['squared_error'])[:2] == [1e10, 1e9]
    assert choose_ridge(x, np.full(100, 3.), 80, codes=np.zeros(100, int))['strength'] == 1e10 # nothing varies


# --- what may be looked at

def tiny(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(.1), nn.Linear(24, 4))


def image_task(n=60, n_test=40, seed=0, classes=3):
    rng = np.random.default_rng(seed)
    y = np.arange(n + n_test) % classes
    x = rng.normal(size=(n + n_test, 1, 8, 8)).astype(np.float32) * .7
    for c in range(classes): x[y == c, :, 2 * c:2 * c + 2] += 1
    return load_task((x[:n], y[:n], x[n:], y[n:]))


@pytest.fixture(scope='module')
def mine(): return load_backbone(tiny(), init=lambda seed: tiny(seed + 100), device='cpu')


def choices_of(protocol, backbone, task, features): return protocol(backbone, task, features)['test'].meta


@pytest.mark.parametrize('name', ['knn', 'linear_probe', 'fine_tune'])
def test_test_examples_change_no_choice(name, mine):
    "Shuffled test labels and other test examples: same choices, same notes, same answers on train."
    protocol, rng = PROTOCOLS[name], np.random.default_rng(0)
    if name == 'fine_tune':
        protocol, task, f = partial(fine_tune, epochs=2, lrs='1e-3,1e-2'), image_task(), lambda task: None
        other = load_task((task.inputs.items[:60], task.y[:60], rng.normal(size=(40, 1, 8, 8)).astype(np.float32), rng.permutation(task.y[60:])))
    else:
        task, f = array_task(), given
        other = load_task((task.inputs.items[:150], task.y[:150], rng.normal(size=(90, 12)).astype(np.float32), rng.permutation(task.y[150:])))
    assert not np.array_equal(task.y, other.y)
    a, b = protocol(mine, task, f(task)), protocol(mine, other, f(other))
    assert a['test'].meta['choices'] == b['test'].meta['choices'] and a['test'].meta['notes'] == b['test'].meta['notes']
    assert np.array_equal(a['train'].scores, b['train'].scores) and not np.array_equal(a['test'].scores, b['test'].scores)


def test_valid_labels_do_change_choices():
    "Else the test above would be empty."
    task = array_task(sep=1)
    y = task.y.copy()
    y[task.splits['valid']] = np.random.default_rng(0).permutation(y[task.splits['valid']])
    a, b = (choices_of(linear_probe, None, t, given(t)) for t in (task, replace(task, y=y)))
    assert a['choices']['C'] != b['choices']['C']


# --- neighbours

def test_knn_is_scikit_learn():
    task = array_task(n=200, d=8, classes=4, sep=.4, seed=11)
    x, y, rows = task.inputs.items, task.y, fit_rows(task)
    for k in (1, 3, 7):
        theirs = KNeighborsClassifier(k, metric='cosine').fit(x[rows], y[rows])
        ids = neighbours(x[rows], x[task.splits['test']], k)
        assert np.array_equal(ids, theirs.kneighbors(x[task.splits['test']], return_distance=False))
        share = theirs.predict_proba(x[task.splits['test']])
        clear = np.sort(share, 1)[:, -1] > np.sort(share, 1)[:, -2]
        assert clear.sum() > 40 and np.array_equal(vote(y[rows][ids], 4).argmax(1)[clear], share.argmax(1)[clear])


def test_knn_leaves_out_the_example_itself():
    task = array_task(n=60, d=6, sep=.5, seed=2)
    out, x, y, rows = knn(None, task, given(task)), task.inputs.items, task.y, fit_rows(task)
    k, loop = out['train'].meta['choices']['k'], []
    for i, r in enumerate(rows):
        others = np.delete(rows, i)
        cosine = [x[r] @ x[o] / np.linalg.norm(x[r]) / np.linalg.norm(x[o]) for o in others]
        loop.append(vote(y[others][np.argsort(-np.array(cosine))[:k]][None], 3)[0])
    np.testing.assert_allclose(out['train'].scores, loop, atol=1e-12)
    assert not out['train'].meta['in_sample']


def test_knn_chooses_k_by_the_slow_loop_too():
    x, y = blobs(80, 6, 3, .5, 4)
    found = choose_k(x, y, 60, 3)
    by_hand = {k: np.mean([vote(y[:60][neighbours(x[:60], x[60:], k)], 3).argmax(1) == y[60:]]) for k in pr.KS if k < np.median(np.bincount(y[:60]))}
    assert found['accuracy'] == by_hand and found['k'] == min(k for k in by_hand if by_hand[k] == max(by_hand.values()))


def test_chunks_of_queries_do_not_matter():
    x = np.random.default_rng(0).normal(size=(50, 5))
    for queries in (None, x[:33] + .1):
        whole = neighbours(x, queries, 7)
        for chunk in (1, 7, 49): assert np.array_equal(neighbours(x, queries, 7, chunk), whole)


def test_one_blas_thread_while_anybody_needs_it():
    "Entered and left in any order, as protocols do that run side by side."
    from threadpoolctl import threadpool_info, threadpool_limits
    threads = lambda: {o['num_threads'] for o in threadpool_info() if o['user_api'] == 'blas'}
    with threadpool_limits(2, user_api='blas'):
        a, b = pr.few_threads(1), pr.few_threads(1)
        a.__enter__(); b.__enter__(); a.__exit__(None, None, None)
        assert threads() == {1}
        b.__exit__(None, None, None)
        assert threads() == {2}
        with pr.few_threads(1e12): assert threads() == {2}


def test_more_neighbours_than_examples():
    x = np.random.default_rng(0).normal(size=(5, 3))
    assert neighbours(x, None, 50).shape == (5, 4) and neighbours(x, x[:2], 50).shape == (2, 5)
    assert not (neighbours(x, None, 50) == np.arange(5)[:, None]).any()
    assert np.array_equal(neighbours(x, x[:2], 50)[:, 0], [0, 1])


def test_equally_near_neighbours_come_in_the_order_of_their_rows():
    x = np.tile([[1., 0], [0, 1]], (10, 1))
    assert neighbours(x, np.array([[1., 0]]), 10)[0].tolist() == list(range(0, 20, 2))


def test_a_vote_is_never_overruled_by_nearness():
    labels = np.random.default_rng(0).integers(3, size=(500, 9))
    counts = np.stack([(labels == c).sum(1) for c in range(3)], 1)
    won = vote(labels, 3).argmax(1)
    assert (counts[np.arange(500), won] == counts.max(1)).all()
    nearest = [next(l for l in row if c[l] == c.max()) for row, c in zip(labels, counts)]
    assert np.array_equal(won, nearest)


# --- as it is

BAD_MAPS = [({'cat': ['tabby']}, "Unknown head class 'tabby'"), ({'cat': [4]}, 'outputs 0 to 3'), ({'cat': -1}, 'outputs 0 to 3'),
            ({'cow': ['car']}, "Unknown class in class_map 'cow'"), ({'cat': ['car'], 'dog': [3]}, "both 'cat' and 'dog'"),
            ({'cat': [], 'dog': []}, 'use linear_probe'), ({'dog': ['beagle']}, r"\(cat\)"), ({'cat': 'CAR', 'dog': 'CARS'}, "'CARS'")]

@pytest.mark.parametrize('class_map, words', BAD_MAPS, ids=[w for _, w in BAD_MAPS])
def test_class_maps_that_make_no_sense(class_map, words):
    with pytest.raises(ValueError, match=words): class_columns(('cat', 'dog'), ('siamese', 'poodle', 'beagle', 'car'), 4, class_map)


@pytest.mark.parametrize('class_map, columns', [
    ({'cat': ['siamese'], 'dog': ['poodle', 'beagle']}, [[0], [1, 2]]), ({'cat': 0, 'dog': [1, 'Beagle', 2]}, [[0], [1, 2]]), ({'cat': 'siamese', 'dog': None}, [[0], []]),
    ({'cat': range(2), 'dog': []}, [[0, 1], []])])
def test_class_maps_by_name_and_number(class_map, columns):
    assert class_columns(('cat', 'dog'), ('siamese', 'poodle', 'beagle', 'car'), 4, class_map) == columns


def test_head_without_names_is_mapped_by_numbers_only():
    assert class_columns(('0', '1'), None, 5, {0: [3, 4], '1': [0]}) == [[3, 4], [0]]
    with pytest.raises(ValueError, match='names are not known.*head index'): class_columns(('0', '1'), None, 5)
    with pytest.raises(ValueError, match='give numbers from 0 to 4'): class_columns(('0', '1'), None, 5, {'0': ['zero'], '1': [1]})


def test_names_are_found_in_any_spelling_but_never_guessed_between():
    assert class_columns(('sea_lion', 'Ice-Cream'), ('ice cream', 'sea-lion, seal'), 2) == [[1], [0]]
    assert class_columns(('Cardigan', 'tench'), imagenet_classes(), 1000) == [[264], [0]]
    with pytest.raises(ValueError, match='2 outputs of the head, 264, 474'): class_columns(('CARDIGAN', 'tench'), imagenet_classes(), 1000)


def test_thousand_classes_on_ten_labels(mine):
    task = array_task(classes=4, sep=1)
    f = given(task)(None)
    probs = np.full((len(task.y), 1000), 1e-3, np.float32)
    wide = replace(mine, head_classes=imagenet_classes())
    with pytest.raises(ValueError, match=r"1000 classes do not include 4 of the task's 4 \(0, 1, 2, 3\).*class_map.*linear_probe"):
        as_is(wide, task, lambda b: replace(f, source_probs=probs))
    with pytest.raises(ValueError, match='has no head'): as_is(wide, task, lambda b: f)


def test_as_is_by_hand_on_a_module_of_ones_own(mine):
    task = image_task()
    out = as_is(mine, task, partial(extract, task=task), class_map={'0': [0, 2], '1': [], '2': [3]})
    with torch.inference_mode(): p = torch.stack([mine.module(torch.tensor(task.inputs.items[i])[None])[0].softmax(0) for i in task.splits['test']]).numpy()
    np.testing.assert_allclose(out['test'].scores, np.stack([p[:, 0] + p[:, 2], 0 * p[:, 0], p[:, 3]], 1), atol=1e-6)
    assert np.array_equal(out['test'].pred, np.where(p[:, 0] + p[:, 2] >= p[:, 3], 0, 2)) and not (out['test'].pred == 1).any()
    assert out['test'].meta['ceiling'] == pytest.approx((task.y[task.splits['test']] != 1).mean())
    assert any('never predicted: 1' in n for n in out['test'].meta['notes']) and not out['test'].meta['in_sample']


def test_a_class_that_is_mapped_to_nothing_is_never_predicted_even_where_all_else_is_zero(mine):
    task = image_task()
    f = replace(given(task)(None), x=np.zeros((100, 2), np.float32), source_probs=np.zeros((100, 4), np.float32))
    out = as_is(mine, task, lambda b: f, class_map={'0': [], '1': [1], '2': [2]})
    assert (out['test'].pred == 1).all()


def test_the_table_from_imagenet_to_cifar10():
    used = [i for v in CIFAR10_IN_IMAGENET.values() for i in v]
    assert len(used) == len(set(used)) and list(CIFAR10_IN_IMAGENET) == sorted(CIFAR10_IN_IMAGENET)
    for name, some in [('airplane', 'airliner'), ('automobile', 'sports car'), ('bird', 'robin'), ('cat', 'Egyptian cat'), ('dog', 'golden retriever'),
                       ('frog', 'bullfrog'), ('horse', 'sorrel'), ('ship', 'container ship'), ('truck', 'tow truck')]:
        assert some in {imagenet_classes()[i] for i in CIFAR10_IN_IMAGENET[name]}


def test_as_is_on_cifar10_by_hand(shared_data, tmp_path):
    "The bundled model asked picture by picture, in float32; deer are never predicted, so .9 is the ceiling."
    for part, n in [('train', 1), ('test', 5)]:
        for source in sorted((shared_data/'cifar10-jpeg'/part).iterdir()):
            (tmp_path/part/source.name).mkdir(parents=True)
            for f in sorted(source.iterdir())[:n]: (tmp_path/part/source.name/f.name).symlink_to(f)
    task, net = load_task(f'folder:{tmp_path}'), load_backbone('bundled:efficientnet_lite0', device='cpu')
    out = as_is(net, task, partial(extract, task=task, dtype='float32'))['test']
    inputs, right = model_inputs(net, task), []
    for i, p, said in zip(out.ids, out.scores, out.pred):
        with torch.inference_mode(): head = net.module(inputs[int(i)][None])[0].softmax(0).numpy()
        by_hand = [head[CIFAR10_IN_IMAGENET[c]].sum() for c in task.classes]
        np.testing.assert_allclose(p, by_hand, atol=1e-5)
        right.append(np.argmax(by_hand) == task.y[i])
    assert len(right) == 50 and float(score(out, 'accuracy')) == np.mean(right) > .2
    assert out.meta['ceiling'] == .9 and any('no accuracy above 0.900' in n for n in out.meta['notes'])


# --- fine-tuning

def state(module): return {k: v.clone() for k, v in module.state_dict().items()}
def equal_states(a, b): return all(torch.equal(a[k], b[k]) for k in a)


def test_fine_tune_repeats_itself_and_leaves_everything_as_it_was(mine, capsys):
    task, before, generator = image_task(), state(mine.module), torch.get_rng_state()
    modes = [(m.training, p.requires_grad) for m in mine.module.modules() for p in m.parameters()]
    run = lambda seed: fine_tune(mine, task, None, seed=seed, epochs=2, lrs=[1e-2])
    a, b, c = run(0), run(0), run(1)
    same(a, b); assert a['test'].meta['epochs'] == b['test'].meta['epochs']
    assert a["test"].meta["epochs"] != c["test"].meta["epochs"]
    assert equal_states(before, state(mine.module)) and torch.equal(generator, torch.get_rng_state())
    assert modes == [(m.training, p.requires_grad) for m in mine.module.modules() for p in m.parameters()]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in mine.module.modules())
    n = 2 * (60 + len(task.splits['train']))
    assert re.search(rf'training on {n} images, 2 epochs, about \d+ steps and \d+ seconds', capsys.readouterr().out)


def test_dropout_does_not_depend_on_how_many_rates_were_tried(mine):
    "The refit is the same, whichever rates lost."
    task = image_task()
    few, many = (fine_tune(mine, task, None, epochs=2, lrs=lrs, head="random") for lrs in ([1e-2], [1e-7, 1e-2]))
    assert many['test'].meta['choices']['lr'] == 1e-2
    if few['test'].meta['choices']['epoch'] == many['test'].meta['choices']['epoch']: same(few, many)


def test_rate_and_epoch_are_those_best_on_valid(mine):
    out = fine_tune(mine, image_task(), None, epochs=3, lrs='1e-4, 1e-2', head='random')['test'].meta
    rows, choices = out['epochs'], out['choices']
    assert [(r['lr'], r['epoch']) for r in rows] == [(lr, e) for lr in (1e-4, 1e-2) for e in (1, 2, 3)] and choices['tried'] == 6
    best = max(rows, key=lambda r: (r['valid'], -r['valid_log_loss']))
    assert (choices['lr'], choices['epoch']) == (best['lr'], best['epoch'])


def test_refit_is_the_start_weights_trained_on_train_and_valid_up_to_the_chosen_epoch(mine):
    task = image_task()
    task = replace(task, y=np.random.default_rng(7).permutation(task.y)) # nothing to learn, so that an early epoch is best
    out = fine_tune(mine, task, None, epochs=4, lrs=[3e-2], head='random')
    stop, inputs = out['test'].meta['choices']['epoch'], model_inputs(mine, task)
    assert stop < 4
    full = ft.complete(mine, torch.stack([inputs[int(i)] for i in fit_rows(task)[:2]]))
    with torch.random.fork_rng(): torch.manual_seed(0); net = ft.Adapted(full, 3)
    ft.train_network(net, inputs, task.y, fit_rows(task), loss=nn.functional.cross_entropy, lr=3e-2, recipe=Recipe(epochs=4), stop=stop)
    logits = torch.as_tensor(ft.predict_network(net, inputs, task.splits['test']))
    np.testing.assert_array_equal(out['test'].scores, logits.softmax(1).numpy())


@pytest.mark.parametrize('name', ['tiny', 'timm:test_resnet.r160_in1k?random=0', 'timm:test_vit.r160_in1k?random=0'])
def test_before_the_first_step_the_network_answers_as_the_probe(mine, name):
    task = image_task() if name == 'tiny' else load_task('digits', n_train=50)
    task = replace(task, splits=dict(task.splits, test=task.splits['test'][:20]))
    net = mine if name == 'tiny' else load_backbone(name, device='cpu')
    features = lambda backbone: extract(backbone, task, dtype='float32')
    probe = linear_probe(net, task, features)['test']
    training, _ = ft._prepare(net, task, Recipe(epochs=2), [1e-3], 0, 'probe', features)
    _, p = training.answer(training.start(fit_rows(task)), task.splits['test'])
    np.testing.assert_allclose(p, probe.scores, atol=2e-5)


def test_epoch_0_is_one_of_those_that_are_chosen_from(mine):
    "Where no step helps, the answers are the probe's."
    task = image_task()
    out = fine_tune(mine, task, None, epochs=1, lrs=[30.])['test']
    probe = linear_probe(mine, task, lambda b: extract(b, task))['test']
    assert out.meta['choices']['epoch'] == 0 and any("the answers are the probe's" in n for n in out.meta['notes'])
    np.testing.assert_allclose(out.scores, probe.scores, atol=2e-5)


@pytest.mark.parametrize('right_at_start, right_at_best, n, has_paid', [(5, 6, 10, False), (5, 8, 10, True), (500, 501, 1000, False), (500, 505, 1000, True), (5, 5, 10, False)])
def test_training_has_to_be_better_than_the_probe_by_one_standard_error(mine, right_at_start, right_at_best, n, has_paid):
    training, _ = ft._prepare(mine, image_task(), Recipe(), [1e-3], 0, 'probe', lambda b: extract(b, image_task()))
    answers = lambda right: Predictions(np.arange(n), np.ones(n, int), (np.arange(n) < right).astype(int), meta=dict(classes=('a', 'b')))
    rows = [dict(epoch=0, answers=answers(right_at_start)), dict(epoch=2, answers=answers(right_at_best))]
    assert ft._has_paid(training, rows, rows[1]) == has_paid
    assert ft._has_paid(replace(training, heads=None), rows, rows[1]) and ft._has_paid(training, rows, rows[0])

def test_the_head_is_fitted_on_train_while_choosing(mine, monkeypatch):
    "No label of valid is in the head that is judged on valid."
    task, fitted = image_task(), []
    true = ft.fit_probe
    monkeypatch.setattr(ft, 'fit_probe', lambda x, y, C, n, near: fitted.append(len(y)) or true(x, y, C, n, near))
    fine_tune(mine, task, None, epochs=1, lrs=[1e-2])
    n_train, n_valid = len(task.splits['train']), len(task.splits['valid'])
    assert set(fitted) == {n_train, n_train + n_valid} and fitted[0] == n_train and fitted[-1] == n_train + n_valid


def test_schedule_of_a_stopped_training_is_the_full_one(mine):
    "Stopping after one of four epochs is not the same as training for one."
    task = image_task(); inputs = model_inputs(mine, task)
    full = ft.complete(mine, torch.stack([inputs[0], inputs[1]]))
    weights = []
    for epochs in (1, 4):
        with torch.random.fork_rng(): torch.manual_seed(0); net = ft.Adapted(full, 3)
        weights.append(ft.train_network(net, inputs, task.y, fit_rows(task), loss=nn.functional.cross_entropy, lr=1e-2, recipe=Recipe(epochs=epochs, batch_size=8), stop=1).head.weight)
    assert not torch.equal(*weights)
    factor = ft._schedule(1000)
    assert max(map(factor, range(1000))) == 1 and factor(0) == .01 and factor(99) == 1 and factor(999) < 1e-5


@pytest.mark.parametrize('batch_size, trained', [(7, False), (8, True)])
def test_batch_norm_statistics(mine, batch_size, trained):
    task = image_task(); inputs = model_inputs(mine, task)
    net = ft.Adapted(ft.complete(mine, torch.stack([inputs[0], inputs[1]])), 3)
    before = net.module[1].running_mean.clone()
    ft.train_network(net, inputs, task.y, fit_rows(task), loss=nn.functional.cross_entropy, lr=1e-3, recipe=Recipe(epochs=1, batch_size=batch_size), stop=1)
    assert torch.equal(before, net.module[1].running_mean) != trained
    note = fine_tune(mine, task, None, epochs=1, lrs=[1e-3], batch_size=batch_size, head='random')['test'].meta['notes'][-1]
    assert note == f"BatchNorm statistics {'trained' if trained else 'kept'}"


@pytest.mark.parametrize('protocol, options, kept', [(fine_tune, {}, True), (fine_tune, dict(statistics='trained'), False), (fine_tune, dict(head='random'), False), (from_scratch, {}, False)])
def test_what_starts_from_the_probe_keeps_the_statistics_it_was_fitted_with(mine, protocol, options, kept):
    note = protocol(mine, image_task(), None, epochs=1, lrs=[1e-3], **options)['test'].meta['notes'][-1]
    assert note == f"BatchNorm statistics {'kept' if kept else 'trained'}"
    with pytest.raises(ValueError, match="Did you mean 'kept'"): fine_tune(mine, image_task(), None, statistics='keep')

def pretrained_and_tuned(mine, **options):
    "Weights of the network before and after fine-tuning with a recipe, by name."
    task, nets = image_task(), []
    true = ft.Adapted
    class Kept(true):
        def __init__(self, *args):
            super().__init__(*args)
            nets.append(self)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ft, 'Adapted', Kept)
        fine_tune(mine, task, None, epochs=2, lrs=[1e-2], head='random', **options)
    return mine.module.state_dict(), nets[-1].module.state_dict()

@pytest.mark.parametrize('freeze, moving', [('nothing', {'0.weight', '0.bias', '1.weight', '1.bias'}), ('but_last_block', {'1.weight', '1.bias'}), ('but_first_block', {'0.weight', '0.bias'}), ('but_biases', {'0.bias', '1.bias'})])
def test_only_the_weights_that_should_train_move(mine, freeze, moving):
    "The old head, which the features do not depend on, is no block; statistics of frozen layers stay."
    before, after = pretrained_and_tuned(mine, freeze=freeze)
    moved = {name for name, _ in mine.module.named_parameters() if not torch.equal(before[name], after[name])}
    assert moved == moving
    assert torch.equal(before['1.running_mean'], after['1.running_mean']) == (freeze == 'but_first_block')

def test_sgd_and_smoothing_and_varied_pictures_train_differently(mine):
    _, plain = pretrained_and_tuned(mine)
    for options in (dict(optimizer='sgd'), dict(smoothing=.2), dict(augment='flip,crop')):
        _, other = pretrained_and_tuned(mine, **options)
        assert not torch.equal(plain['0.weight'], other['0.weight'])
    for _ in range(2): np.testing.assert_array_equal(*(pretrained_and_tuned(mine, augment='crop')[1]['0.weight'] for _ in range(2)))

def test_pictures_are_varied_one_by_one_and_only_to_train(mine, monkeypatch):
    seen = []
    def varied(batch, names):
        seen.append(names)
        return torch.zeros_like(batch)
    monkeypatch.setattr(ft, 'augment_batch', varied)
    task = image_task()
    out = fine_tune(mine, task, None, epochs=1, lrs=[1e-9], augment='flip')['test']
    probe = linear_probe(mine, task, lambda b: extract(b, task))['test']
    assert set(seen) == {('flip',)}
    assert (out.pred == probe.pred).mean() > .9 # black pictures were trained on, not judged
    torch.manual_seed(0)
    pictures = torch.rand(40, 3, 16, 24)
    flipped = augment_batch(pictures, ['flip'])
    is_flipped = [torch.equal(a.flip(-1), b) for a, b in zip(pictures, flipped)]
    is_same = [torch.equal(a, b) for a, b in zip(pictures, flipped)]
    assert 5 < sum(is_flipped) < 35 and sum(is_flipped) + sum(is_same) == 40
    assert augment_batch(pictures, ['crop']).shape == pictures.shape

def test_smoothed_labels_have_the_loss_of_the_formula():
    outputs, y = torch.randn(7, 4), torch.tensor([0, 1, 2, 3, 0, 1, 2])
    logs = outputs.log_softmax(1)
    slow = -(.9 * logs[torch.arange(7), y] + .1 * logs.mean(1)).mean()
    torch.testing.assert_close(Recipe(smoothing=.1).smoothed(nn.functional.cross_entropy)(outputs, y), slow)

def test_weights_between_start_and_end_are_chosen_on_valid(mine):
    "The answers are those of the network at the chosen share of the way, trained anew on train and valid."
    task = image_task()
    task = replace(task, y=np.random.default_rng(7).permutation(task.y)) # nothing to learn, so that less training is better
    options = dict(epochs=4, lrs=[.1], head="random")
    plain, out = fine_tune(mine, task, None, **options)['test'], fine_tune(mine, task, None, average=True, **options)['test']
    choices = out.meta['choices']
    assert choices['tried'] == 4 * plain.meta['choices']['tried'] and choices['average'] < 1 and 'average' not in plain.meta['choices']
    assert out.meta['epochs'] == plain.meta['epochs']
    training, _ = ft._prepare(mine, task, Recipe(epochs=4), [.1], 0, "random", None)
    start, end = training.start(fit_rows(task)), training.start(fit_rows(task))
    training.train(end, fit_rows(task), lr=.1, stop=choices['epoch'])
    slow = {name: a + choices['average'] * (b - a) if a.is_floating_point() else b for (name, a), b in zip(start.state_dict().items(), end.state_dict().values())}
    end.load_state_dict(slow)
    _, scores = training.answer(end, task.splits['test'])
    np.testing.assert_allclose(out.scores, scores, atol=1e-6)
    assert set(start.module.state_dict()) > {'1.running_mean'}

def test_a_budget_in_seconds_leaves_fewer_epochs(mine, monkeypatch, capsys):
    monkeypatch.setattr(ft, '_seconds_per_row', lambda training: .01)
    task = image_task()
    rows = len(fit_rows(task)) + len(task.splits['train'])
    chosen = lambda seconds: fine_tune(mine, task, None, epochs=3, lrs=[1e-3], seconds=seconds)['test'].meta['choices']['epochs']
    assert [chosen(s) for s in (None, 1e9, .021 * rows, 0)] == [3, 3, 2, 1]
    assert f'{2 * rows:,} images, 2 epochs, about {-(-2 * rows // 32)} steps and {.02 * rows:.0f} seconds' in capsys.readouterr().out

def trained_in(name, task, freeze):
    net = load_backbone(name, device='cpu')
    return ft._prepare(net, task, Recipe(freeze=freeze), [1e-3], 0, 'random', None)[0].trained

def test_the_blocks_of_known_networks():
    digits = load_task('digits', n_train=20)
    names = trained_in('torchvision:resnet18?random=0', digits, 'but_last_block')
    assert names[0].startswith('layer4.1.') and all(n.startswith('layer4.1.') for n in names)
    first = trained_in('torchvision:resnet18?random=0', digits, 'but_first_block')
    assert first[0] == 'conv1.weight' and {n.split('.')[0] for n in first} == {'conv1', 'bn1', 'layer1'} and not any(n.startswith('layer1.1') for n in first)
    names = trained_in('bundled:minilm', load_task('docstrings', n_train=20), 'but_last_block')
    assert names and all('.layer.5.' in n for n in names)

def test_recipes_that_make_no_sense(mine):
    task = image_task()
    for options, said in [
        (dict(optimizer='adam'), "Did you mean 'adamw'"), (dict(freeze='all'), 'Unknown part to freeze'), (dict(augment='rotate'), 'Unknown way to vary pictures'),
        (dict(smoothing=1.), 'smoothing=1.0 should be'), (dict(batch_size=0), 'batch_size=0'), (dict(epochs=2.5), 'epochs=2.5'), (dict(average=.5), 'average=0.5 should be'),
    ]:
        with pytest.raises(ValueError, match=said): fine_tune(mine, task, None, **options)
    with pytest.raises(ValueError, match='no repeated blocks'): trained_names(nn.Linear(2, 2), 'but_first_block', ['weight', 'bias'])


def test_few_steps_are_noted_and_the_advice_is_enough(mine):
    "As many steps as the optimiser takes for the chosen epochs; by the epochs that the note names, none is left."
    task = image_task(n=90)
    notes = lambda epochs: [n for n in fine_tune(mine, task, None, epochs=epochs, lrs=[1e-3], head='random')['test'].meta['notes'] if 'steps of training' in n]
    each = -(-len(fit_rows(task)) // 32)
    said, = notes(1)
    assert said.startswith(f'only {each} steps')
    training = ft._prepare(mine, task, Recipe(), [1e-3], 0, 'random', None)[0]
    enough = int(said.partition('?epochs=')[2].split()[0])
    assert not list(ft._few_steps(training, enough)) and list(ft._few_steps(training, enough - 1))


def test_batches_of_one(mine):
    "A batch size of one, and a last batch that would be one."
    task = image_task(n=40)
    fine_tune(mine, task, None, epochs=1, lrs=[1e-3], batch_size=1)
    odd = with_splits(task, fit_rows(task)[:33], fit_rows(task)[33:])
    fine_tune(mine, odd, None, epochs=1, lrs=[1e-3])
    rng = np.random.default_rng(0)
    orders = [ft._epoch_order(None, np.arange(33), 32, rng) for _ in range(50)]
    assert {len(o) for o in orders} == {32} and set(np.concatenate(orders)) == set(range(33))
    assert len(ft._epoch_order(None, np.arange(1), 32, rng)) == 1 and len(ft._epoch_order(None, np.arange(5), 1, rng)) == 5


def test_a_rate_that_diverges_is_out_of_the_race_and_all_of_them_an_error(mine):
    task = image_task()
    out = fine_tune(mine, task, None, epochs=2, lrs=[1e-2, 1e30])['test'].meta
    assert out['choices']['lr'] == 1e-2 and {r['lr'] for r in out['epochs']} == {1e-2}
    assert any(n.startswith('learning rate 1e+30 was given up') for n in out['notes'])
    with pytest.raises(ValueError, match='try a smaller'): fine_tune(mine, task, None, epochs=2, lrs=[1e30])


def test_without_valid_a_fold_of_train_takes_its_place(mine):
    "With two labels of some class: the rows that are judged are no rows that are fitted, and all are fitted at the end."
    task = image_task(n=15)
    task = replace(task, splits=task.splits | dict(train=fit_rows(task), valid=np.zeros(0, np.int64)))
    inner = ft._with_valid(task)
    assert len(inner.splits['valid']) and not set(inner.splits['valid']) & set(inner.splits['train'])
    assert sorted(fit_rows(inner)) == sorted(fit_rows(task)) and ft._with_valid(inner) is inner
    out = fine_tune(mine, task, None, epochs=2, lrs=[1e-3])
    assert out['test'].meta['choices']['by'] == 'held-out accuracy, then log-loss' and len(out['test'].meta['epochs']) == 3
    np.testing.assert_array_equal(out['train'].ids, fit_rows(task))

@pytest.mark.parametrize('head, epoch', [('probe', 0), ('random', 2)])
def test_where_no_label_can_be_held_out_only_a_random_head_trains(mine, head, epoch):
    task = image_task(n=60)
    one_each = [np.flatnonzero(task.y == c)[0] for c in range(3)]
    task = replace(task, splits=task.splits | dict(train=np.array(one_each), valid=np.zeros(0, np.int64)))
    out = fine_tune(mine, task, None, epochs=2, head=head)['test'].meta
    assert out['choices'] == dict(lr=3e-4, epoch=epoch, epochs=2, tried=0, by='default: no labels can be held out to choose by', head=head)
    assert out['epochs'] == [] and any('nothing was chosen' in n for n in out['notes'])


@pytest.mark.parametrize('options, words', [(dict(epochs=0), 'epochs=0'), (dict(batch_size=0), 'batch_size=0'), (dict(epochs=2.5), 'epochs=2.5'), (dict(average=.5), 'average=0.5 should be'),
                                            (dict(lrs=''), 'learning rates above 0'), (dict(lrs=[-1e-3]), 'learning rates above 0'), (dict(head='prob'), "Did you mean 'probe'"), (dict(dtype='float16'), "Unknown dtype 'float16'")])
def test_options_that_make_no_sense(mine, options, words):
    with pytest.raises(ValueError, match=words): fine_tune(mine, image_task(), None, **options)


def test_train_curve_is_of_all_classes(mine):
    "An official train split may be sorted by class; the rows for the curve are not its first few."
    task, seen = image_task(n=600, n_test=30), []
    by_class = with_splits(task, np.argsort(task.y[:480], kind='stable'), np.arange(480, 600))
    true = ft.predict_network
    def spy(net, inputs, rows, **more): seen.append(np.asarray(rows)); return true(net, inputs, rows, **more)
    ft.predict_network = spy
    try: fine_tune(mine, by_class, None, epochs=1, lrs=[1e-3])
    finally: ft.predict_network = true
    assert len(seen[0]) == 256 and set(np.bincount(task.y[seen[0]])) <= {85, 86}


# --- kinds that are not classes

def r2_stats(p): return per_unit(p, np.column_stack([np.ones(len(p)), p.y, p.y**2, (p.y - p.pred)**2]))
def r2(sums): return 1 - sums[..., 3] / (sums[..., 2] - sums[..., 1]**2 / sums[..., 0])


def quarters(y, unit): return np.arange(len(y)), np.searchsorted(np.quantile(y, [.25, .5, .75]), y)


def squares(task):
    "One output, trained by the squared error in standard deviations of the target."
    y = task.y[fit_rows(task)]
    mean, sd = y.mean(), y.std()
    def start(backbone, task, features):
        found = features(backbone)
        x, _, y = pr.arrays_of(found, task)
        chosen = choose_ridge(x, y, len(task.splits['train']), codes=quarters(y, None)[1])
        def head(rows):
            weights, biases = fit_ridge(pr.values_at(found, found.x, rows), task.y[rows], chosen['strength']).head()
            return weights / sd, (biases - mean) / sd
        return head
    return ft.Objective(
        outputs=1, loss=lambda out, y: ((out[:, 0] - (y - mean) / sd)**2).mean(),
        answers=lambda out: (out[:, 0] * sd + mean, None),
        losses=lambda answer, y: ((answer[0] - y) / sd)**2, loss_name='squared_error', start=start)


@pytest.fixture
def number_task(monkeypatch):
    monkeypatch.setitem(METRICS, 'r2_by_hand', Metric('r2_by_hand', r2_stats, r2, reads='values'))
    kind = Kind('numbers', metric='r2_by_hand', judge='r2_by_hand', strata=quarters, has_classes=False, objective=squares)
    task = image_task(n=80)
    y = 7 + 3 * task.y + np.random.default_rng(0).normal(size=len(task.y))
    return replace(task, kind=kind, y=y, classes=(), metric='r2_by_hand')


def test_a_kind_says_what_a_network_is_trained_for(mine, number_task):
    out = fine_tune(mine, number_task, None, epochs=3, lrs=[1e-2])
    meta, test = out['test'].meta, out['test']
    assert test.form == 'values' and test.scores is None and np.array_equal(test.y, number_task.y[number_task.splits['test']])
    assert [set(row) for row in meta['epochs']] == [{'lr', 'epoch', 'train', 'valid', 'valid_squared_error'}] * 4
    assert meta['choices']['by'] == 'valid r2 by hand, then squared-error'
    best = max(meta['epochs'], key=lambda row: (row['valid'], -row['valid_squared_error']))
    assert meta['choices']['epoch'] == best['epoch'] and r2(r2_stats(test).sum(0)) > .5


def test_before_the_first_step_a_network_for_numbers_answers_as_the_ridge(mine, number_task):
    features = lambda backbone: extract(backbone, number_task, dtype='float32')
    training, _ = ft._prepare(mine, number_task, Recipe(epochs=2), [1e-3], 0, 'probe', features)
    rows, test = fit_rows(number_task), number_task.splits['test']
    pred, scores = training.answer(training.start(rows), test)
    f = features(mine)
    x, codes = pr.values_at(f, f.x, rows), quarters(number_task.y[rows], None)[1]
    strength = choose_ridge(x, number_task.y[rows], len(number_task.splits['train']), codes=codes)['strength']
    np.testing.assert_allclose(pred, fit_ridge(x, number_task.y[rows], strength)(pr.values_at(f, f.x, test)), rtol=1e-4)
    assert scores is None


def test_rows_for_the_curve_of_numbers_are_drawn_by_strata(mine, number_task):
    training, _ = ft._prepare(mine, number_task, Recipe(epochs=2), [1e-3], 0, 'random', None)
    some = ft._some_of(training, 32)
    assert len(some) == 32 and set(some) <= set(number_task.splits['train'])
    assert np.bincount(quarters(number_task.y, None)[1][some]).min() >= 6


def test_numbers_without_valid_are_said_to_leave_nothing_to_choose_by(mine, number_task):
    bare = with_splits(number_task, fit_rows(number_task), [])
    assert fine_tune(mine, bare, None, epochs=1)['test'].meta['choices']['by'] == 'default: no labels can be held out to choose by'


def test_controls_need_random_weights(mine):
    task, bare = image_task(), load_backbone(tiny(), device='cpu')
    for protocol in (random_probe, from_scratch):
        with pytest.raises(ValueError, match='Give init='): protocol(bare, task, partial(extract, task=task))
    control = random_probe(mine, task, partial(extract, task=task), seed=1)['test']
    by_hand = linear_probe(None, task, lambda b: extract(load_backbone(tiny(101), device='cpu'), task))['test']
    assert np.array_equal(control.scores, by_hand.scores) and any('random weights' in n for n in control.meta['notes'])


def test_from_scratch_is_fine_tune_of_random_weights(mine):
    task = image_task()
    a = from_scratch(mine, task, None, seed=2, epochs=1, lrs=[1e-2])
    b = fine_tune(load_backbone(tiny(102), device='cpu'), task, None, seed=2, epochs=1, lrs=[1e-2])
    same(a, b)


@pytest.mark.parametrize('name', ['test_resnet.r160_in1k', 'test_vit.r160_in1k'])
def test_a_real_architecture_from_end_to_end(name):
    task = load_task('digits', n_train=50)
    net = load_backbone(f'timm:{name}?random=0', device='cpu')
    before = state(net.module)
    out = fine_tune(net, replace(task, splits=dict(task.splits, test=task.splits['test'][:20])), None, epochs=1, lrs=[1e-3], dtype='float32')
    assert out['test'].scores.shape == (20, 10) and np.allclose(out['test'].scores.sum(1), 1, atol=1e-5)
    assert equal_states(before, state(net.module)) and len(out['test'].meta['epochs']) == 2

def test_a_probe_with_a_weak_penalty_is_at_its_optimum():
    "It started from the fit that it was chosen by, ended 2e-5 above the optimum, and gave 7 of 450 pictures another answer."
    task, net = load_task("digits", n_train=200), load_backbone("bundled:efficientnet_lite0?random", device="cpu")
    features = partial(extract, task=task, dtype="float32")
    found = linear_probe(net, task, features)["test"]
    assert found.meta["choices"]["C"] >= 1e4 and found.meta["choices"]["converged"]
    x, x_test, y = arrays_of(features(net), task)
    probe, _ = fit_probe(x, y, found.meta["choices"]["C"], 10)
    assert np.mean(probe(x_test).argmax(1) == found.pred) > .997
