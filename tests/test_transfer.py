"Oracles, invariances, limits and bad input of the transferability scores."
import numpy as np, pytest, scipy.linalg as sl
from scipy.optimize import minimize
from scipy.stats import f_oneway, multivariate_normal
from sklearn.linear_model import BayesianRidge, Ridge, RidgeClassifier
from sklearn.covariance import LedoitWolf, ledoit_wolf_shrinkage
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from upgradeability import transfer as T
from upgradeability.transfer import SCORES, h_score, h_score_null, label_entropy, label_information, leep, logme, nce, probe_score, regret, shrinkage_alpha, spectrum, transferability


def gaussian(n, d, signal, classes=3, seed=0, spread=0.):
    "Class means of size `signal`, noise of size 1, columns scaled over `spread` decades."
    r = np.random.default_rng(seed)
    y = r.permutation(np.arange(n) % classes)
    x = r.normal(size=(n, d)) + signal * r.normal(size=(classes, d))[y]
    return x * 10**r.uniform(-spread, spread, d), y

def probabilities(n, s, seed=0): return np.random.default_rng(seed).dirichlet(np.full(s, .3), n)

SHAPES = [(30, 4), (60, 20), (40, 39), (40, 100), (25, 300)]

# ---------------------------------------------------------------- NCE and LEEP

def test_nce_exact():
    y = np.array([0]*5 + [1]*5)
    z = np.array([0]*4 + [1] + [0] + [1]*4)
    assert nce(z, y) == pytest.approx(-0.5004024235381879, abs=1e-15)
    assert nce([7, 7, 3, 3, 9], list('bbaac')) == 0
    assert nce(np.zeros(10, int), y) == pytest.approx(-np.log(2))
    assert label_entropy(['a', 'b', 'b', 'b']) == pytest.approx(-(.25*np.log(.25) + .75*np.log(.75)))

def test_leep_by_the_loop_of_its_formula():
    theta, y = probabilities(40, 6), np.arange(40) % 3
    joint = np.zeros((3, 6))
    for t, c in zip(theta, y): joint[c] += t / 40
    given = joint / joint.sum(0)
    assert leep(theta, y) == pytest.approx(np.mean([np.log(sum(given[c, z] * t[z] for z in range(6))) for t, c in zip(theta, y)]), abs=1e-13)

def test_leep_limits():
    r = np.random.default_rng(0)
    z, y = r.integers(0, 5, 60), r.integers(0, 4, 60)
    assert leep(np.eye(7)[z], y) == pytest.approx(nce(z, y), abs=1e-13)         # columns 5 and 6 have no mass
    assert leep(np.full((60, 5), .2), y) == pytest.approx(-label_entropy(y))
    assert leep(np.eye(4)[y], y) == pytest.approx(0, abs=1e-14)
    assert label_information(leep(np.full((60, 5), .2), y), y) == pytest.approx(0, abs=1e-14)

@pytest.mark.parametrize('seed', range(5))
def test_leep_is_never_positive_and_ignores_the_order_of_source_classes(seed):
    theta, y = probabilities(30, 200, seed), np.random.default_rng(seed).integers(0, 3, 30)
    order = np.random.default_rng(seed).permutation(200)
    assert leep(theta, y) <= 0
    assert leep(theta[:, order], y) == pytest.approx(leep(theta, y), abs=1e-12)

def test_leep_of_half_precision_and_underflow():
    logits = np.random.default_rng(0).normal(size=(50, 1000)) * 12
    p = np.exp(logits - logits.max(1, keepdims=True))
    p = p / p.sum(1, keepdims=True)
    y = np.arange(50) % 5
    assert (p.astype(np.float16) == 0).mean() > .1
    assert leep(p.astype(np.float16), y) == pytest.approx(leep(p, y), abs=2e-3)

# ---------------------------------------------------------------- H-score

def pillai(x, y):
    "Sum of squared canonical correlations, by least squares on centred one-hot labels."
    x, t = x - x.mean(0), (y[:, None] == np.unique(y)).astype(float)
    t -= t.mean(0)
    fit = x @ np.linalg.lstsq(x, t, rcond=None)[0]
    return np.trace(np.linalg.pinv(t.T @ t) @ (fit.T @ fit))

@pytest.mark.parametrize('n,d', SHAPES)
@pytest.mark.parametrize('spread', [0, 1])
def test_plain_h_score_is_pillais_trace(n, d, spread):
    x, y = gaussian(n, d, .5, seed=n + d, spread=spread)
    assert h_score(x, y, shrinkage=False) == pytest.approx(pillai(x, y), abs=1e-8)
    assert h_score(x, y, shrinkage=False) <= min(2, d) + 1e-9

def test_h_score_of_one_feature_is_eta_squared():
    x, y = gaussian(50, 1, 1)
    f = f_oneway(*(x[y == c, 0] for c in range(3))).statistic
    assert h_score(x, y, shrinkage=False) == pytest.approx(f * 2 / (f * 2 + 47))

def test_h_score_of_one_hot_features_and_of_wide_noise_is_the_maximum():
    y = np.arange(40) % 5
    assert h_score(np.eye(5)[y], y, shrinkage=False) == pytest.approx(4)
    assert h_score(np.random.default_rng(0).normal(size=(40, 39)), y, shrinkage=False) == pytest.approx(4)

@pytest.mark.parametrize('n,d', [(60, 7), (60, 40)])
def test_plain_h_score_survives_any_invertible_affine_map(n, d):
    x, y = gaussian(n, d, .7, spread=1)
    a = np.random.default_rng(1).normal(size=(d, d)) @ np.diag(np.logspace(-2, 2, d))
    assert h_score(x @ a + 1e3, y, shrinkage=False) == pytest.approx(h_score(x, y, shrinkage=False), abs=1e-6)

@pytest.mark.parametrize('n,d', SHAPES)
@pytest.mark.parametrize('signal', [0, 1])
def test_shrunk_h_score_is_the_formula_with_sklearns_covariance(n, d, signal):
    x, y = gaussian(n, d, signal, seed=d, spread=.5)
    model, means = LedoitWolf().fit(x), np.stack([x[y == c].mean(0) for c in y])
    between = np.cov(means.T, ddof=0)
    expected = np.trace(np.linalg.solve(model.covariance_, (1 - model.shrinkage_) * between))
    assert shrinkage_alpha(spectrum(x)) == pytest.approx(model.shrinkage_, abs=1e-10)
    assert h_score(x, y) == pytest.approx(expected, abs=1e-8)

def test_shrinkage_limits():
    standard = sl.hadamard(64)[:, 1:].astype(float)                             # covariance is the identity already
    assert shrinkage_alpha(spectrum(standard)) == ledoit_wolf_shrinkage(standard) == 0
    x = np.random.default_rng(3).normal(size=(40, 400))
    x = (x - x.mean(0)) / x.std(0)
    assert shrinkage_alpha(spectrum(x)) == pytest.approx(ledoit_wolf_shrinkage(x), abs=1e-10)
    assert shrinkage_alpha(spectrum(np.ones((5, 3)))) == 0

@pytest.mark.parametrize('n,d', SHAPES)
@pytest.mark.parametrize('shrinkage', [True, False])
def test_h_score_null_is_the_mean_over_permutations(n, d, shrinkage):
    x, y = gaussian(n, d, 1, spread=.3)
    r = np.random.default_rng(0)
    scores = [h_score(x, r.permutation(y), shrinkage=shrinkage) for _ in range(200)]
    assert np.mean(scores) == pytest.approx(h_score_null(x, y, shrinkage=shrinkage), abs=4 * np.std(scores) / 200**.5 + 1e-9)
    if not shrinkage: assert h_score_null(x, y, shrinkage=False) == pytest.approx(2 * min(d, n - 1) / (n - 1))

def test_h_score_null_is_exact_over_all_permutations():
    from itertools import permutations
    x, y = gaussian(6, 2, 1)
    assert np.mean([h_score(x, list(p)) for p in permutations(y)]) == pytest.approx(h_score_null(x, y), abs=1e-12)

def test_integer_features_are_not_truncated():
    x, y = np.array([[0], [1], [1], [2]]), [0, 0, 1, 1]
    assert h_score(x, y, shrinkage=False) == h_score(x.astype(float), y, shrinkage=False) == pytest.approx(.5)

# ---------------------------------------------------------------- LogME

def bayesian_ridge(x, y):
    b, out = sl.helmert(len(x)), []
    for c in np.unique(y):
        m = BayesianRidge(fit_intercept=False, alpha_1=0, alpha_2=0, lambda_1=0, lambda_2=0, alpha_init=1, lambda_init=1,
                          compute_score=True, tol=1e-14, max_iter=20000).fit(b @ x, b @ (y == c).astype(float))
        out.append(m.scores_[-1])
    return np.array(out)

def marginal(x, t, alpha, beta):
    b = sl.helmert(len(x))
    cov = np.eye(len(x) - 1) / beta + b @ x @ x.T @ b.T / alpha
    return multivariate_normal.logpdf(b @ t, cov=cov, allow_singular=True)

@pytest.mark.parametrize('n,d', SHAPES)
@pytest.mark.parametrize('signal', [.3, 1, 3])
def test_logme_is_bayesian_ridge_without_intercept_on_projected_data(n, d, signal):
    x, y = gaussian(n, d, signal, seed=d)
    assert logme(x, y) == pytest.approx(bayesian_ridge(x, y).mean() / (n - 1), abs=1e-6)

@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('seed', range(6))
def test_logme_is_never_below_bayesian_ridge(seed):
    "Where the evidence has two hills, climbing from one start may end on the lower one; the search does not."
    x, y = gaussian(60, 20, .3, seed=seed, spread=1)
    assert (T._max_evidence(spectrum(x), y)[0] >= bayesian_ridge(x, y) - 1e-5).all()

def naive_logme(x, targets):
    "Mean over the columns: the density of one draw from a normal distribution, at the best α and β of a grid that is refined twice."
    b, best = sl.helmert(len(x)), []
    values, vectors = np.linalg.eigh(b @ x @ x.T @ b.T)
    for t in np.asarray(targets, float).reshape(len(x), -1).T:
        log_density = lambda p: multivariate_normal.logpdf(vectors.T @ b @ t, cov=np.diag(np.exp(-p[1]) + values.clip(0) * np.exp(-p[0])))
        beta = -np.log(t.var())
        grid = [(beta + i, beta + j) for i in np.arange(-4, 14, 1.) for j in np.arange(-1, 9, 1.)]
        start = max(grid, key=log_density)
        found = minimize(lambda p: -log_density(p), start, method='Nelder-Mead', options=dict(xatol=1e-7, fatol=1e-11, maxiter=2000))
        assert -found.fun == pytest.approx(marginal(x, t, *np.exp(found.x)), abs=1e-6)
        best.append(-found.fun)
    return np.mean(best) / (len(x) - 1)

def regression(n, d, k=3, noise=1., seed=0):
    "Features, and targets of different units that depend on them linearly, with noise."
    r = np.random.default_rng(seed)
    x = r.normal(size=(n, d))
    return x, (x @ r.normal(size=(d, k)) / d**.5 + noise * r.normal(size=(n, k))) * 10.**np.arange(k) + 50

@pytest.mark.parametrize('n,d', [(30, 4), (40, 20), (25, 60)])
@pytest.mark.parametrize('noise', [.3, 1.])
def test_logme_of_float_targets_is_the_best_density_of_a_normal_distribution(n, d, noise):
    x, t = regression(n, d, noise=noise)
    assert logme(x, t) == pytest.approx(naive_logme(x, t), abs=1e-6)
    assert logme(x, t[:, 0]) == logme(x, t[:, :1]) == pytest.approx(naive_logme(x, t[:, 0]), abs=1e-6)

@pytest.mark.parametrize('n,d', SHAPES)
def test_logme_of_one_hot_floats_is_logme_of_the_classes(n, d):
    x, y = gaussian(n, d, 1.)
    assert logme(x, np.eye(3)[y]) == pytest.approx(logme(x, y), abs=1e-9)

def test_logme_of_float_targets_in_other_units():
    x, t = regression(40, 6)
    assert logme(x, t + 1000) == pytest.approx(logme(x, t), abs=1e-9)
    assert logme(x, 12 * t) == pytest.approx(logme(x, t) - np.log(12), abs=1e-9)
    assert logme(x, t.astype(np.float32)) == pytest.approx(logme(x, t), abs=1e-4)
    assert logme(x, t[:, 0].tolist()) == logme(x, t[:, 0])

def test_whole_numbers_as_floats_are_targets():
    x, t = regression(40, 6)
    whole = t[:, 0].round()
    assert logme(x, whole) == pytest.approx(naive_logme(x, whole), abs=1e-6)

@pytest.mark.parametrize('y,says', [
    (np.where(np.arange(10) == 7, np.nan, np.arange(10) / 3), 'Targets are NaN or infinite in 1 of 10 rows, first in row 7'),
    (np.arange(9) / 3, '10 rows .* 9 targets'),
    (np.full(10, .1), 'same value in every row'),
    (np.column_stack([np.arange(10.), np.ones(10)]), 'same value in every row'),
])
def test_bad_float_targets(y, says):
    with pytest.raises(ValueError, match=says): logme(X, y)

@pytest.mark.parametrize('n,d', [(30, 4), (60, 20), (40, 100)])
def test_alpha_and_beta_are_a_stationary_point_of_the_gaussian_marginal(n, d):
    x, y = gaussian(n, d, .4, seed=1)
    inner = 0
    for c, value, alpha, beta in zip(range(3), *T._max_evidence(spectrum(x), y)):
        f = lambda p: -marginal(x, (y == c).astype(float), *np.exp(p))
        best = np.log([alpha, beta])
        assert f(best) == pytest.approx(-value, abs=1e-6)
        near = minimize(f, best, method='Nelder-Mead', options=dict(xatol=1e-7, fatol=1e-11))
        assert near.fun >= -value - 1e-6
        if 1e-8 < alpha / beta / spectrum(x).s2.mean() < 1e6:                   # not at a bound: the updates stand still as well
            inner += 1
            b = sl.helmert(n); fx, ft = b @ x, b @ (y == c).astype(float)
            a = alpha * np.eye(d) + beta * fx.T @ fx
            m = beta * np.linalg.solve(a, fx.T @ ft)
            gamma = d - alpha * np.trace(np.linalg.inv(a))
            assert alpha == pytest.approx(gamma / (m @ m), rel=1e-4)
            assert beta == pytest.approx((n - 1 - gamma) / ((fx @ m - ft)**2).sum(), rel=1e-4)
    assert inner >= 2 or d > n

@pytest.mark.parametrize('n,d', SHAPES)
def test_logme_ignores_shift_rotation_and_common_scale(n, d):
    x, y = gaussian(n, d, .6)
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0]
    for other in (x + 100, x @ q, x * 37, np.hstack([x, np.ones((n, 3))])):
        assert logme(other, y) == pytest.approx(logme(x, y), abs=1e-7)

def test_logme_sees_a_weak_signal_in_an_unbalanced_class():
    r = np.random.default_rng(0)
    y = np.repeat([0, 1], [40, 160])
    x = r.normal(size=(200, 1)) + .9 * y[:, None]
    assert 199 * (logme(x, y) - logme(np.zeros((200, 1)), y)) > 2

def test_no_signal_is_the_evidence_of_a_constant_model():
    y = np.arange(40) % 2
    t = sl.helmert(40) @ (y == 0)
    constant = -39/2 * (np.log(2*np.pi * (t @ t) / 39) + 1) / 39
    assert logme(np.ones((40, 5)), y) == pytest.approx(constant)
    orthogonal = np.repeat([1., -1.], 20)[:, None]                              # knows nothing of odd and even
    assert logme(orthogonal, y) == pytest.approx(constant, abs=1e-6)

def test_perfect_fit_is_finite_and_best():
    y = np.arange(60) % 3
    perfect = logme(np.eye(3)[y], y)
    assert np.isfinite(perfect) and perfect > logme(np.eye(3)[y] + .01 * np.random.default_rng(0).normal(size=(60, 3)), y)
    assert logme((np.eye(3)[y] * 5 + 3).astype(np.float32), y) == pytest.approx(perfect, abs=1e-6)

def test_classes_do_not_influence_one_another():
    x, y = gaussian(60, 8, 1)
    forward = T._max_evidence(spectrum(x), y)[0]
    assert np.allclose(T._max_evidence(spectrum(x), 2 - y)[0], forward[::-1])

# ---------------------------------------------------------------- probe

@pytest.mark.parametrize('n,d', SHAPES)
def test_probe_is_a_cross_validated_ridge_classifier(n, d):
    x, y = gaussian(n, d, .5, seed=n)
    fold = np.zeros(n, int)
    for i, rows in enumerate(np.array_split(np.random.default_rng(3).permutation(n), 5)): fold[rows] = i
    strengths = np.mean(spectrum(x).s2) * 10.**np.arange(1, -6, -1)
    t, cv = np.eye(3)[y], PredefinedSplit(fold)
    losses = [((cross_val_predict(Ridge(alpha=a, solver='svd'), x, t, cv=cv) - t)**2).sum() for a in strengths]
    best = RidgeClassifier(alpha=strengths[np.argmin(losses)], solver='svd')
    assert probe_score(x, y, seed=3) == pytest.approx((cross_val_predict(best, x, y, cv=cv) == y).mean())

def test_probe_limits():
    y = np.arange(30) % 3
    assert probe_score(np.eye(3)[y], y) == 1
    assert probe_score(np.zeros((30, 2)), [0]*20 + [1]*10) == pytest.approx(2/3)
    assert probe_score(*gaussian(40, 5, 3), n_splits=40) > .9                   # leave-one-out
    for bad in (1, 41):
        with pytest.raises(ValueError, match=f'n_splits={bad}'): probe_score(*gaussian(40, 5, 3), n_splits=bad)

# ---------------------------------------------------------------- all scores

CALLS = {'logme': logme, 'h_score': h_score, 'plain': lambda x, y: h_score(x, y, shrinkage=False)}

@pytest.mark.parametrize('name', CALLS)
@pytest.mark.parametrize('n,d', [(50, 6), (40, 80)])
def test_order_of_rows_and_names_of_classes_do_not_matter(name, n, d):
    f, (x, y) = CALLS[name], gaussian(n, d, .8)
    order = np.random.default_rng(0).permutation(n)
    assert f(x[order], y[order]) == pytest.approx(f(x, y), abs=1e-8)
    for renamed in (np.array([17, -3, 400])[y], np.array(['b', 'c', 'a'])[y], list(np.array(['x', 'y', 'z'])[y]), y.astype(np.uint8)):
        assert f(x, renamed) == pytest.approx(f(x, y), abs=1e-10)
    assert f(x + 5, y) == pytest.approx(f(x, y), abs=1e-8)

def test_order_and_names_do_not_matter_to_leep_nce_and_probe():
    theta, y = probabilities(40, 5), np.arange(40) % 4
    order, renamed = np.random.default_rng(0).permutation(40), np.array(list('dacb'))[y]
    assert leep(theta[order], renamed[order]) == pytest.approx(leep(theta, y), abs=1e-12)
    z = theta.argmax(1)
    assert nce((z * 7 - 2)[order], renamed[order]) == pytest.approx(nce(z, y), abs=1e-12)
    x, y = gaussian(60, 5, 1)
    assert probe_score(x, np.array(['q', 'p', 'o'])[y]) == probe_score(x, y)

def test_repeated_columns_add_no_direction():
    x, y = gaussian(50, 5, 1)
    twice = np.hstack([x, x, x.sum(1, keepdims=True)]).astype(np.float32)
    assert spectrum(twice).u.shape == (50, 5)
    assert h_score(twice, y, shrinkage=False) == pytest.approx(h_score(x.astype(np.float32), y, shrinkage=False), abs=1e-4)

def test_columns_of_very_unequal_scale_survive_in_float32():
    x, y = gaussian(50, 5, 1)
    scaled = (x * [1, 1e-2, 1e3, 1e-1, 1e2]).astype(np.float32)
    assert h_score(scaled, y, shrinkage=False) == pytest.approx(h_score(x, y, shrinkage=False), abs=1e-3)

@pytest.mark.parametrize('d', [1, 8, 39, 40, 300])
def test_taking_rows_equals_decomposing_them(d):
    x, y = gaussian(40, d, 1)
    rows = np.arange(5, 25)
    part, alone = spectrum(x).take(rows), spectrum(x[rows])
    assert np.allclose(part.s2, alone.s2) and np.allclose(abs(np.sum(part.u * alone.u, 0)), 1, atol=1e-6)
    assert shrinkage_alpha(part) == pytest.approx(shrinkage_alpha(alone), abs=1e-9)

# ---------------------------------------------------------------- the table

FIXED = ['score', 'value', 'null_mean', 'null_sd', 'calibrated', 'z', 'se', 'information', 'n', 'd', 'shrinkage']

def test_table_agrees_with_the_functions_one_by_one():
    x, y = gaussian(60, 10, .7)
    theta = probabilities(60, 6)
    df = transferability(x, y, source_probs=theta, n_null=8, n_subsample=4)
    assert list(df.columns) == FIXED + ['seconds'] and df.score.tolist() == list(SCORES)
    inputs = {'leep': theta, 'nce': theta.argmax(1)}
    r = np.random.default_rng(0)
    labels = [r.permutation(y) for _ in range(8)]
    halves = T._half_rows(y, 4, 0)
    for row in df.set_index('score').itertuples():
        f, data = SCORES[row.Index], inputs.get(row.Index, x)
        null = [f(data, p) for p in labels]
        assert row.value == pytest.approx(f(data, y), abs=1e-9)
        assert row.null_sd == pytest.approx(np.std(null, ddof=1), abs=1e-9)
        assert row.null_mean == pytest.approx(h_score_null(x, y) if row.Index == 'h_score' else np.mean(null), abs=1e-9)
        assert row.calibrated == pytest.approx(row.value - row.null_mean) and row.z == pytest.approx(row.calibrated / row.null_sd)
        assert row.se == pytest.approx(np.std([f(data[h], y[h]) for h in halves], ddof=1), abs=1e-7)
    df = df.set_index('score')
    assert df.information['nce'] == pytest.approx(label_information(nce(theta.argmax(1), y), y)) and np.isnan(df.information['logme'])
    assert df.shrinkage['h_score'] == pytest.approx(ledoit_wolf_shrinkage(x)) and df.shrinkage.notna().sum() == 1
    assert df.d.tolist() == [10, 10, 10, 6, len(np.unique(theta.argmax(1)))] and (df.n == 60).all() and (df.seconds > 0).all()

def test_table_is_fixed_by_the_seed():
    x, y = gaussian(60, 10, .7)
    first, again, other = (transferability(x, y, n_null=5, n_subsample=3, seed=s)[FIXED] for s in (1, 1, 2))
    assert first.equals(again) and not first.equals(other)

def test_more_rows_than_wanted_are_drawn_in_proportion():
    x, y = gaussian(300, 5, 1)
    y[:270] = 0; y[270:299] = 1; y[299] = 2
    df = transferability(x, y, source_probs=probabilities(300, 4), max_rows=100, n_null=3, n_subsample=2)
    assert (df.n == 100).all() and df.se.notna().all()
    assert (transferability(x, y, scores='logme', max_rows=None, n_null=0, n_subsample=0).n == 300).all()

def test_what_was_not_asked_for_is_nan():
    df = transferability(*gaussian(30, 3, 1), scores=['logme', 'h_score'], n_null=0, n_subsample=1).set_index('score')
    assert df.value.notna().all() and df[['null_sd', 'z', 'se']].isna().all(axis=None)
    assert np.isnan(df.null_mean['logme']) and df.null_mean['h_score'] > 0      # known without permutations

@pytest.mark.parametrize('d', [1, 8, 64, 99, 100, 512, 2048])
@pytest.mark.parametrize('seed', range(3))
def test_noise_of_any_width_never_ranks_above_information(d, seed):
    r = np.random.default_rng([d, seed])
    y = np.arange(100) % 5
    narrow = r.normal(size=(100, 8)) * .9**np.arange(8) + 2 * np.eye(8)[y]
    wide = np.hstack([narrow, .3 * r.normal(size=(100, 500))])
    names = ['logme', 'h_score', 'probe_score']
    good, buried, noise = (transferability(x, y, scores=names, n_null=20, n_subsample=0).set_index('score') for x in (narrow, wide, r.normal(size=(100, d))))
    for name in names:
        bad = np.nan_to_num(noise.calibrated[name])                             # NaN: shrunk away
        assert min(good.calibrated[name], buried.calibrated[name]) > bad
        assert min(good.z[name], buried.z[name]) > 5
        assert abs(bad) < max(5 * noise.null_sd[name], 1e-6)

def test_without_calibration_noise_does_rank_above_information():
    "What the null is for: this is the failure that the test above excludes."
    r, y = np.random.default_rng(0), np.arange(100) % 5
    narrow, noise = r.normal(size=(100, 8)) + 2 * np.eye(8)[y], r.normal(size=(100, 512))
    plain = [h_score(x, y, shrinkage=False) for x in (narrow, noise)]
    assert plain[1] > plain[0]
    assert plain[0] - h_score_null(narrow, y, shrinkage=False) > 1 > abs(plain[1] - h_score_null(noise, y, shrinkage=False))

def test_a_score_that_is_shrunk_away_is_not_ranked():
    y = np.arange(100) % 8
    x = np.random.default_rng(1).normal(size=(100, 8)) + 1.2 * np.eye(8)[y]     # informative, equal in all directions
    x = (x - x.mean(0)) / x.std(0)
    assert h_score(x, y, shrinkage=False) > 2 * h_score_null(x, y, shrinkage=False)
    df = transferability(x, y, scores='h_score', n_null=5, n_subsample=2).iloc[0]
    assert df.shrinkage == 1 and df.value == h_score(x, y) == 0 and np.isnan(df.calibrated) and np.isnan(df.z)

def test_noisy_heads_of_any_width_never_rank_above_an_informative_one():
    y = np.arange(100) % 5
    good = .5 * np.eye(5)[y] + .5 * probabilities(100, 5)
    best = transferability(np.eye(5)[y], y, source_probs=good, scores='leep,nce', n_null=20, n_subsample=0).set_index('score').calibrated
    for s in (2, 50, 1000):
        bad = transferability(np.eye(5)[y], y, source_probs=probabilities(100, s, seed=s), scores='leep,nce', n_null=20, n_subsample=0).set_index('score')
        assert (best > bad.calibrated).all() and (abs(bad.calibrated) < 5 * bad.null_sd + 1e-9).all()

@pytest.mark.parametrize('name', ['logme', 'h_score', 'probe_score', 'leep', 'nce'])
def test_standard_error_is_the_spread_over_new_examples(name):
    r = np.random.default_rng(0)
    values, errors, y = [], [], np.arange(150) % 3
    for i in range(40):
        x = r.normal(size=(150, 6)) + .8 * np.eye(6)[y]
        p = np.exp(x[:, :4]); p /= p.sum(1, keepdims=True)
        df = transferability(x, y, source_probs=p, scores=name, n_null=0, n_subsample=10, seed=i)
        values.append(df.value[0]); errors.append(df.se[0])
    assert .7 < np.mean(errors) / np.std(values, ddof=1) < 2.2

def test_degenerate_data_give_figures_not_crashes():
    x, y = gaussian(41, 5, 1)
    y[:] = 0; y[1:20] = 1; y[40] = 2                                            # a class with a single example
    single = transferability(x, y, source_probs=probabilities(41, 3), n_null=5, n_subsample=4)
    constant = transferability(np.ones((41, 5)), y, n_null=5, n_subsample=4).set_index('score')
    tiny = transferability(np.array([[0.], [1.]]), ['a', 'b'], source_probs=np.eye(2), n_null=3, n_subsample=3, scores='logme,h_score,leep,nce')
    every = transferability(x[:6], np.arange(6), n_null=3, n_subsample=3)       # nothing to halve
    assert single[['value', 'calibrated', 'se']].notna().all(axis=None)
    assert constant.value['h_score'] == constant.calibrated['h_score'] == 0 and constant.calibrated['logme'] == pytest.approx(0)
    assert constant.z.drop('probe_score').isna().all() and abs(constant.z['probe_score']) < 3
    assert np.isfinite(tiny.value).all() and every.se.isna().all() and np.isfinite(every.value).all()

def test_ties_everywhere():
    x, y = np.tile(np.eye(4), (10, 1)), np.repeat([0, 1], 20)                   # features that know nothing, each row ten times
    df = transferability(x, y, n_null=10, n_subsample=4).set_index('score')
    assert df.value['h_score'] == pytest.approx(0, abs=1e-12) and df.calibrated.max() < .1

def test_the_extension_dict(monkeypatch):
    monkeypatch.setitem(SCORES, 'sure', lambda source_probs, y: float(source_probs.max(1).mean()))
    monkeypatch.setitem(SCORES, 'logme', lambda x, y: 42.)                      # a replaced score is really replaced
    df = transferability(*gaussian(30, 3, 1), source_probs=probabilities(30, 4), scores='sure, logme', n_null=3).set_index('score')
    assert df.value['logme'] == 42 and df.null_sd['sure'] == 0 and df.calibrated['sure'] == pytest.approx(0)

def test_regret():
    assert regret([1, 2, 3], [.5, .9, .7]) == pytest.approx(.2)
    assert regret([0, 0, 0], [.5, .9, .7]) == pytest.approx(.2)                 # nothing preferred: the average of all
    assert regret([-2, -1, -3], [.5, .9, .7]) == 0
    with pytest.raises(ValueError, match='not finite'): regret([1, np.nan], [.5, .9])

# ---------------------------------------------------------------- bad input

X, Y = gaussian(10, 3, 1)
P = probabilities(10, 4)

def broken(a, row, value):
    a = np.array(a, float); a[row, 1] = value
    return a

@pytest.mark.parametrize('f', [logme, h_score, h_score_null, probe_score, transferability])
@pytest.mark.parametrize('x,y,error,says', [
    (broken(X, 7, np.nan), Y, ValueError, 'first in row 7'),
    (broken(X, 0, np.inf), Y, ValueError, '1 of 10 rows'),
    (X[:, 0], Y, ValueError, r'shape \(10,\)'),
    (X.reshape(10, 3, 1), Y, ValueError, 'reshape'),
    (X[:1], Y[:1], ValueError, 'at least two examples'),
    (X[:, :0], Y, ValueError, 'one feature'),
    (X.astype(str), Y, TypeError, 'numbers are needed'),
    (X + 1j, Y, TypeError, 'complex128'),
    (X, Y[:9], ValueError, '10 rows .* 9 labels'),
    (X, np.zeros(10, int), ValueError, 'Only one class'),
    (X, Y + .5, ValueError, 'floats'),
    (X, Y.astype(float), ValueError, 'astype'),
    (X, [None] + list('abcabcabc'), ValueError, 'missing'),
])
def test_bad_features_and_labels(f, x, y, error, says):
    if f is logme and says in ('floats', 'astype'): return # targets of a regression, see above
    with pytest.raises(error, match=says): f(x, y)

@pytest.mark.parametrize('f', [leep, lambda p, y: transferability(X, Y, source_probs=p)])
@pytest.mark.parametrize('p,says', [
    (broken(P, 3, np.nan), 'first in row 3'),
    (broken(P, 4, -.5), 'Row 4'),
    (broken(P, 2, 3.), 'Row 2 .* sums to .* softmax'),
    (np.log(P + 1e-9), 'softmax'),
    (P[:9], '9 rows .* 10 labels'),
    (P[:, 0], 'shape'),
])
def test_bad_probabilities(f, p, says):
    with pytest.raises(ValueError, match=says): f(p, Y)

def test_bad_names():
    with pytest.raises(ValueError, match="Did you mean 'logme'"): transferability(X, Y, scores='log_me')
    with pytest.raises(ValueError, match='source_probs'): transferability(X, Y, scores=['nce'])
    with pytest.raises(ValueError, match='10 rows .* 4 labels'): nce(np.arange(10), [0, 1, 0, 1])
    with pytest.raises(ValueError, match='Only one class'): nce(np.arange(3), [1, 1, 1])

def test_needs_no_torch():
    import subprocess, sys
    code = "import sys, upgradeability.transfer; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, '-c', code], capture_output=True).returncode == 0

def test_variance_explained_is_that_of_ridge_regressions_fitted_anew():
    rng = np.random.default_rng(0)
    x, groups = rng.normal(size=(120, 7)) + 3, np.repeat(np.arange(40), 3)
    t = x[:, :2] @ rng.normal(size=(2, 3)) + rng.normal(size=(120, 3))
    fold = (np.random.default_rng(5).permutation(40) % 4)[groups]
    strengths = ((x - x.mean(0))**2).sum() / 7 * 10.**np.arange(1, -6, -1)
    again = [cross_val_predict(Ridge(alpha=a), x, t, cv=PredefinedSplit(fold)) for a in strengths]
    plain = cross_val_predict(Ridge(alpha=1e15), x, t, cv=PredefinedSplit(fold))
    slow = 1 - min(((t - p)**2).sum() for p in again) / ((t - plain)**2).sum()
    value, se = T.held_out_r2(x, t, groups, n_splits=4, seed=5)
    assert value == pytest.approx(slow, abs=1e-6) and 0 < se < .2

def test_rows_that_belong_together_are_left_out_together():
    rng = np.random.default_rng(1)
    x, t, groups = np.repeat(rng.normal(size=(30, 60)), 4, axis=0), np.repeat(rng.normal(size=(30, 2)), 4, axis=0), np.repeat(np.arange(30), 4)
    assert T.held_out_r2(x, t)[0] > .5 > .1 > T.held_out_r2(x, t, groups)[0] # seen once is known by heart
    assert np.isnan(T.held_out_r2(x, np.ones((120, 2)), groups)).all()
    with pytest.raises(ValueError, match='n_splits=5 for 3 groups'): T.held_out_r2(x[:12], t[:12], groups[:12])
