"""Do intervals hold the truth as often as they say, and do tests raise false alarms no more often? By enumeration where possible, else simulation.

No interval for a fraction reaches 93-97 % everywhere, because n answers can give only n + 1 intervals. Demanded are at least 92 % in every cell, and
at most 97.5 % where 10 or more errors (for a gain, discordant units) are expected. Simulated shares get two standard errors of simulation.
"""
import numpy as np, pytest
from scipy import stats
from upgradeability.comparisons import _bonett_price, compare, compare_all, gain
from upgradeability.intervals import score, upgradeability
from upgradeability.metrics import METRICS, Predictions

CELLS = [(n, p) for n in (30, 100, 1000) for p in (.5, .9, .99)]
LOW, HIGH = .92, .975


def slack(target, runs): return 2 * np.sqrt(target * (1 - target) / runs)


def holds(s, truth): return s.low <= truth + 1e-12 and truth - 1e-12 <= s.high


def accuracy_with(k, n): return score(Predictions(np.arange(n), np.zeros(n, int), (np.arange(n) >= k).astype(int)), 'accuracy')


@pytest.mark.parametrize('n', [30, 100, 1000])
def test_accuracy_by_enumeration(n):
    scores = [accuracy_with(k, n) for k in range(n + 1)]
    for p in (.5, .9, .99):
        covered = stats.binom.pmf(np.arange(n + 1), n, p) @ [holds(s, p) for s in scores]
        assert covered >= LOW and (covered <= HIGH or n * (1 - p) < 10)


def joint(p, q, correlation):
    "Chances of both right, first only, second only, both wrong."
    both = min(p * q + correlation * np.sqrt(p * (1 - p) * q * (1 - q)), p, q)
    return np.array([both, p - both, q - both, max(0, 1 - p - q + both)])


@pytest.mark.parametrize('n, p', CELLS)
@pytest.mark.parametrize('lift, correlation', [(0, 0), (0, .5), (-.05, .5)])
def test_gain_of_accuracy_by_enumeration(n, p, lift, correlation):
    both, lost, won, neither = joint(p, p + lift, correlation)
    discordant = np.arange(n + 1)
    b, c = (x.ravel() for x in np.meshgrid(discordant, discordant))
    b, c = b[b + c <= n], c[b + c <= n]
    chance = stats.binom.pmf(b + c, n, lost + won) * stats.binom.pmf(b, b + c, lost / (lost + won))
    b, c, chance = (x[chance > 1e-8] for x in (b, c, chance))
    found = np.array([_bonett_price((y - x) / n, (x + y) / n, n, .95) for x, y in zip(b, c)])
    covered = chance @ ((found[:, 0] <= lift + 1e-12) & (lift - 1e-12 <= found[:, 1]))
    assert covered >= LOW and (covered <= HIGH or n * (lost + won) < 10)


def test_the_enumerated_interval_is_the_one_that_gain_returns():
    rng = np.random.default_rng(0)
    for n in (30, 100):
        a, b = rng.integers(2, size=(2, n))
        first, second = (Predictions(np.arange(n), np.zeros(n, int), x) for x in (a, b))
        g, d = gain(second, first, 'accuracy'), (a - b)
        assert np.allclose((g.low, g.high), _bonett_price(d.mean(), abs(d).mean(), n, .95))


def confusion(p, sizes):
    "Joint chances of truth and prediction where every class is recognised with probability p."
    k = len(sizes)
    return np.array(sizes)[:, None] * (np.eye(k) * p + (1 - np.eye(k)) * (1 - p) / (k - 1))


def macro_f1(chances): return float(METRICS['macro_f1'].reduce(np.stack([np.diag(chances), chances.sum(1), chances.sum(0)], 1).ravel()))


def draw(rng, n, chances):
    cell = rng.choice(chances.size, size=n, p=chances.ravel())
    return Predictions(np.arange(n), cell // len(chances), cell % len(chances))


@pytest.mark.parametrize('n, p', CELLS)
def test_macro_f1_by_simulation(n, p, runs=500):
    rng, chances = np.random.default_rng(n), confusion(p, [.4, .35, .25])
    covered = np.mean([holds(score(draw(rng, n, chances), 'macro_f1', n_boot=200, seed=i), macro_f1(chances)) for i in range(runs)])
    assert covered >= LOW - slack(LOW, runs) and (covered <= HIGH + slack(HIGH, runs) or n * (1 - p) < 10)


@pytest.mark.parametrize('sizes, n, p', [([.95, .05], 100, .99), ([.9, .1], 100, .9), ([.8, .2], 30, .9)])
def test_macro_f1_with_a_rare_class(sizes, n, p, runs=400):
    rng, chances = np.random.default_rng(n), confusion(p, sizes)
    covered = np.mean([holds(score(draw(rng, n, chances), 'macro_f1', n_boot=200, seed=i), macro_f1(chances)) for i in range(runs)])
    assert covered >= LOW - slack(LOW, runs)


@pytest.mark.parametrize('p, icc', [(.9, 0), (.9, .3), (.99, .1), (.99, 1)])
def test_accuracy_of_rows_in_groups(p, icc, groups=40, rows=8, runs=400):
    rng, covered = np.random.default_rng(int(100 * icc)), []
    for i in range(runs):
        k = (1 - icc) / max(icc, 1e-3)
        ability = rng.random((groups, 1)) < p if icc == 1 else rng.beta(p * k, (1 - p) * k, size=(groups, 1))
        right = rng.random((groups, rows)) < ability
        preds = Predictions(np.arange(groups * rows), np.zeros(groups * rows, int), (~right).astype(int).ravel(), groups=np.repeat(np.arange(groups), rows))
        covered.append(holds(score(preds, 'accuracy', n_boot=200, seed=i), p))
    assert np.mean(covered) >= LOW - slack(LOW, runs)


@pytest.mark.parametrize('n, p', CELLS)
def test_gain_of_macro_f1_by_simulation(n, p, runs=300):
    "Both models err into the next class, so that macro-F1 is p at equal class sizes; the second one differs by .05, or not at all where there is no room."
    rng, lift, covered = np.random.default_rng(n), .05 if p < .95 else 0, []
    chances = joint(p, p + lift, .5)
    for i in range(runs):
        y, cell = rng.integers(3, size=n), rng.choice(4, size=n, p=chances)
        a, b = (Predictions(np.arange(n), y, np.where(np.isin(cell, right), y, (y + 1) % 3)) for right in ((0, 1), (0, 2)))
        covered.append(holds(gain(b, a, 'macro_f1', n_boot=200, seed=i), lift))
    assert np.mean(covered) >= LOW - slack(LOW, runs) and (np.mean(covered) <= HIGH + slack(HIGH, runs) or n * chances[1:3].sum() < 10)


@pytest.mark.parametrize('n, p', CELLS)
@pytest.mark.parametrize('gap, n_train', [(.05, 400), (.005, 100), (0, 100)])
def test_upgradeability_of_accuracy_by_enumeration(n, p, gap, n_train):
    "Two independent binomials: train at p + gap, test at p."
    tests, trains = ([accuracy_with(k, m) for k in range(m + 1)] for m in (n, n_train))
    chance = np.outer(stats.binom.pmf(np.arange(n_train + 1), n_train, min(1, p + gap)), stats.binom.pmf(np.arange(n + 1), n, p))
    (v0, l0, h0), (v1, l1, h1) = (np.array([(s.value, s.low, s.high) for s in scores]).T for scores in (trains, tests))
    difference = v1 - v0[:, None]
    low, high = difference - np.hypot(v1 - l1, (h0 - v0)[:, None]), difference + np.hypot(h1 - v1, (v0 - l0)[:, None]) # Newcombe's; published cases in test_metrics.py
    truth = p - min(1, p + gap)
    covered = (chance * ((low <= truth + 1e-12) & (truth - 1e-12 <= high))).sum()
    assert covered >= LOW and (covered <= HIGH or min(n * (1 - p), n_train * (1 - min(1, p + gap))) < 10)


# Upgradeability: a model is fitted in every replicate on newly drawn training examples

DIRECTION = np.full(6, .45)


def draw_task(rng, n):
    y = np.arange(n) % 2
    return rng.normal(size=(n, 6)) + np.where(y[:, None] == 1, DIRECTION, -DIRECTION), y


def fit_discriminant(x, y):
    "Weights and offset of Fisher's linear discriminant."
    means = np.stack([x[y == c].mean(0) for c in (0, 1)])
    w = np.linalg.solve(np.cov((x - means[y]).T), means[1] - means[0])
    return w, w @ means.mean(0)


def true_accuracy(w, offset):
    return np.mean([stats.norm.cdf((DIRECTION @ w - s * offset) / np.linalg.norm(w)) for s in (1, -1)])


@pytest.mark.parametrize('n_train, n_test', [(40, 200), (100, 1000)])
@pytest.mark.parametrize('metric', ['accuracy', 'macro_f1'])
def test_upgradeability_with_a_model_fitted_in_every_replicate(n_train, n_test, metric, runs=400):
    rng, found, truth = np.random.default_rng(n_train), [], []
    for i in range(runs):
        (x, y), (x_test, y_test) = draw_task(rng, n_train), draw_task(rng, n_test)
        w, offset = fit_discriminant(x, y)
        train, test = (Predictions(np.arange(len(t)), t, (z @ w > offset).astype(int)) for z, t in ((x, y), (x_test, y_test)))
        found.append(upgradeability(train, test, metric, n_boot=200, seed=i))
        truth.append(true_accuracy(w, offset) - (train.y == train.pred).mean())
    expected = np.mean(truth) # macro-F1 equals accuracy here but for terms of order 1 / n
    assert expected < -.02
    assert np.mean([holds(u, expected) for u in found]) >= .91 - slack(.91, runs)
    assert np.mean([holds(u, t) for u, t in zip(found, truth)]) >= .95 # for the one fitted model it is conservative


# False alarms

def equal_models(rng, n, k, metric='accuracy'):
    "k models of equal skill whose errors are correlated through the difficulty of the examples."
    y, hard = rng.integers(3, size=n), rng.normal(size=n)
    skill = rng.normal(size=(k, n)) + hard > -1
    return {f'm{i}': Predictions(np.arange(n), y, np.where(right, y, (y + rng.integers(1, 3, size=n)) % 3)) for i, right in enumerate(skill)}


@pytest.mark.parametrize('n', [20, 100])
def test_mcnemar_keeps_its_level(n, runs=1000):
    rng = np.random.default_rng(n)
    alarms = np.mean([compare(*equal_models(rng, n, 2).values()).p_value <= .05 for _ in range(runs)])
    assert alarms <= .05 + slack(.05, runs)


@pytest.mark.parametrize('metric', ['macro_f1', 'balanced_accuracy'])
def test_the_swap_test_keeps_its_level_and_uses_it(metric, runs=700):
    rng = np.random.default_rng(1)
    alarms = np.mean([compare(*equal_models(rng, 120, 2).values(), metric, n_boot=199, seed=i).p_value <= .05 for i in range(runs)])
    assert abs(alarms - .05) <= slack(.05, runs) + .005


def test_which_of_twenty_equal_models_is_best_is_not_claimed(runs=50):
    rng, family, naive = np.random.default_rng(2), 0, 0
    for _ in range(runs):
        models = equal_models(rng, 300, 20)
        pairs = compare_all(models)
        best = max(models, key=lambda m: (models[m].y == models[m].pred).mean())
        family += (pairs.p_holm <= .05).any()
        naive += (pairs.p[(pairs.a == best) | (pairs.b == best)] <= .05).any()
    assert family / runs <= .05 + slack(.05, runs)
    assert naive / runs > .3 # uncorrected tests against the best one do claim it
