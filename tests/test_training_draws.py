"Several training draws: intervals for a procedure, bands of curves, crossings; against a truth that is known from many draws."
import numpy as np, pandas as pd, pytest
from upgradeability.curves import _all_curves, _draw_remark, curve_seeds, find_crossings, label_efficiency
from upgradeability.draws import gain_over_seeds, score_over_seeds, seed_variance, shared_examples, unit_noise, upgradeability_over_seeds
from upgradeability.evaluation import evaluate, gains
from upgradeability.comparisons import gain, joint_bootstrap
from upgradeability.intervals import upgradeability
from upgradeability.metrics import Predictions, find_metric
from upgradeability.models import load_backbone
from upgradeability.verdicts import verdict
from upgradeability.words import sample_text, setting

K, D = 4, 12
CENTRES = np.random.default_rng(99).normal(size=(K, D)) * .55
STRENGTHS = 10. ** np.arange(-3, 5)


def draw(n, rng):
    y = rng.integers(K, size=n)
    return CENTRES[y] + rng.normal(size=(n, D)), y


def ridges(x, y, strengths):
    "Ridge classifiers for several strengths, as functions of x."
    mean, onehot = x.mean(0), np.eye(K)[y]
    u, s, vt = np.linalg.svd(x - mean, full_matrices=False)
    right = u.T @ (onehot - onehot.mean(0))
    weights = [vt.T @ ((s / (s * s + k))[:, None] * right) for k in strengths]
    return [lambda z, w=w: ((z - mean) @ w + onehot.mean(0)).argmax(1) for w in weights]


def probe(x, y, rng):
    "Choose the strength on a fifth, then fit on all: the choice moves the figure on train."
    order = rng.permutation(len(y))
    valid, train = np.split(order, [max(K, len(y) // 5)])
    right = [(f(x[valid]) == y[valid]).mean() for f in ridges(x[train], y[train], STRENGTHS)]
    best = len(right) - 1 - int(np.argmax(right[::-1]))
    return ridges(x, y, [STRENGTHS[best]])[0]


def subset(y, n, rng):
    order = rng.permutation(len(y))
    return np.concatenate([order[y[order] == k][:n // K] for k in range(K)])


def one_seed(x, y, x_test, n, rng):
    "Answers on test of a probe and of one on random features (its weights drawn, too), the subset, and the answers on it."
    rows = subset(y, n, rng)
    weights = rng.normal(size=(D, 32)) / 4
    lifted = lambda z: np.maximum(z @ weights, 0)
    model, control = probe(x[rows], y[rows], rng), probe(lifted(x[rows]), y[rows], rng)
    return model(x_test), control(lifted(x_test)), rows, model(x[rows])


def expected(n, draws=250):
    "Accuracy, gain over random weights, and U, over training draws, weights and test examples; with standard errors."
    rng = np.random.default_rng(5)
    x_test, y_test = draw(4000, rng)
    found = []
    for _ in range(draws):
        x, y = draw(2 * n + 100, rng)
        model, control, rows, on_train = one_seed(x, y, x_test, n, rng)
        right, before, train = (model == y_test).mean(), (control == y_test).mean(), (on_train == y[rows]).mean()
        found.append((right, right - before, right - train))
    return np.mean(found, 0), np.std(found, 0) / np.sqrt(draws)


def predictions(ids, y, pred): return Predictions(np.asarray(ids), y, pred)


def covered(n, pool, n_test, replicates, n_seeds=10):
    "How often the intervals of ten seeds, and those of the first, contain the truth: (6,)."
    truth, _ = expected(n)
    rng = np.random.default_rng(n)
    hits = []
    for _ in range(replicates):
        (x, y), (x_test, y_test) = draw(pool, rng), draw(n_test, rng)
        runs = [one_seed(x, y, x_test, n, rng) for _ in range(n_seeds)]
        ids = np.arange(n_test)
        tests = [predictions(ids, y_test, r[0]) for r in runs]
        bases = [predictions(ids, y_test, r[1]) for r in runs]
        trains = [predictions(r[2], y[r[2]], r[3]) for r in runs]
        shared = dict(shared=shared_examples(trains))
        ten = [
            score_over_seeds(tests, 'accuracy', **shared),
            gain_over_seeds(tests, bases, 'accuracy', **shared),
            upgradeability_over_seeds(trains, tests, 'accuracy', **shared)]
        one = [gain(tests[0], bases[0], 'accuracy'), upgradeability(trains[0], tests[0], 'accuracy')]
        hits.append([s.low <= t <= s.high for s, t in zip([*ten, *one], [*truth, *truth[1:]])])
    return np.mean(hits, 0)


def slack(share, n): return 2 * np.sqrt(share * (1 - share) / n)


@pytest.mark.parametrize('n, pool, n_test', [(20, 1000, 450), (50, 1000, 450), (100, 1000, 450), (400, 1000, 450)])
def test_ten_seeds_cover_the_expectation_over_training_draws(n, pool, n_test, replicates=60):
    score, gained, carried, *_ = covered(n, pool, n_test, replicates)
    assert min(score, gained, carried) >= .91 - slack(.91, replicates)


def test_one_seed_does_not():
    "The interval of a fitted model covers its own performance, and the procedure's only by luck."
    *_, gained, carried = covered(20, 1000, 1500, 50, n_seeds=2)
    assert gained < .75 and carried < .75


def test_the_variance_of_nadeau_and_bengio():
    values = np.array([.6, .7, .9, .65])
    none, n1, n2 = np.zeros((4, 4)), 90, 10 # theirs: (1 / J + n2 / n1) s^2, with the correlation n2 / (n1 + n2)
    assert seed_variance(values, none, n2 / (n1 + n2)) == pytest.approx(values.var(ddof=1) * (1 / 4 + n2 / n1))
    assert seed_variance(values, none, 1) == pytest.approx(values.var(ddof=1) / 4) # the same training set in each seed


def test_the_correction_for_overlap_is_right_for_means():
    "Means of subsets of one pool: their average is off by s^2 (1/S + rho / (1 - rho)), where s^2 is expected."
    rng, pool, n, n_seeds = np.random.default_rng(0), 200, 80, 5
    off, said = [], []
    for _ in range(4000):
        x = rng.normal(size=pool)
        means = np.array([rng.choice(x, n, replace=False).mean() for _ in range(n_seeds)])
        off.append(means.mean()**2)
        said.append(seed_variance(means, np.zeros((n_seeds, n_seeds)), n / pool))
    assert np.mean(said) == pytest.approx(np.mean(off), rel=.06)


def test_shared_examples():
    rng = np.random.default_rng(0)
    of = lambda n: predictions(rng.permutation(400)[:n], np.zeros(n, int), np.zeros(n, int))
    trains = [of(100) for _ in range(6)]
    pairs = [len({*a.ids} & {*b.ids}) / 100 for i, a in enumerate(trains) for b in trains[:i]]
    assert shared_examples(trains) == pytest.approx(np.mean(pairs))
    assert shared_examples([of(400)] * 2) == 1 and shared_examples(trains[:1]) == 1


def test_noise_is_the_same_by_formula_and_by_resampling():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=500)
    tests = [predictions(np.arange(500), y, np.where(rng.random(500) < .7, y, (y + 1) % 3)) for _ in range(3)]
    resampled = np.cov(joint_bootstrap(tests, 'accuracy', n_boot=6000).T)
    assert np.allclose(np.diag(unit_noise(tests, 'accuracy')), np.diag(resampled), rtol=.1)


class Cells(pd.DataFrame):
    "A results table whose predictions are in memory."
    _metadata = ['parts']
    @property
    def _constructor(self): return self._same
    def _same(self, *args, **kwargs):
        return Cells(*args, **kwargs)
    def predictions(self, key): return PARTS[key]


PARTS = {}
SIZES = [20, 40, 80, 160, 320]


def centroid(x, y, z):
    means = np.stack([x[y == k].mean(0) for k in range(K)])
    return (z @ means.T - (means**2).sum(1) / 2).argmax(1)


def cells_of(x, y, x_test, y_test, rng, n_seeds, model='a', noise=False):
    rows = []
    for seed in range(n_seeds):
        nested = [subset(y, n, np.random.default_rng([seed, *rng])) for n in SIZES]
        for n, at in zip(SIZES, nested):
            pred = np.random.default_rng([seed, n, *rng]).integers(K, size=len(y_test)) if noise else centroid(x[at], y[at], x_test)
            key = f'{model} {n} {seed}'
            PARTS[key] = dict(train=predictions(at, y[at], y[at]), test=predictions(np.arange(len(y_test)), y_test, pred))
            rows.append(dict(model=model, n_train=n, seed=seed, metric='accuracy', train=1., test=(pred == y_test).mean(), upgradeability=0., key=key))
    return rows


def majority_of(cells, y_test):
    rows = [r | dict(key='majority') for r in cells]
    PARTS['majority'] = dict(test=predictions(np.arange(len(y_test)), y_test, np.zeros(len(y_test), int)))
    return Cells(rows)


def expected_curve(draws=200):
    rng = np.random.default_rng(3)
    x_test, y_test = draw(10_000, rng)
    found = []
    for _ in range(draws):
        x, y = draw(2000, rng)
        found.append([(centroid(x[at], y[at], x_test) == y_test).mean() for at in (subset(y, n, rng) for n in SIZES)])
    return np.mean(found, 0)


def curve_coverage(replicates, n_test, n_seeds, pool=2000, n_boot=300):
    truth = expected_curve()
    needed = label_efficiency(np.array(SIZES), truth)
    metric = find_metric('accuracy')
    hits = []
    for r in range(replicates):
        rng = np.random.default_rng([7, r])
        (x, y), (x_test, y_test) = draw(pool, rng), draw(n_test, rng)
        rows = cells_of(x, y, x_test, y_test, [r], n_seeds)
        PARTS['majority'] = {}
        curve, summary, _ = _all_curves(Cells(rows), majority_of(rows, y_test), metric, .95, n_boot)
        points = curve[curve.origin == 'measured']
        s = summary.iloc[0]
        inside = (points.test_low <= truth) & (truth <= points.test_high)
        hits.append([*inside, s.efficiency_low <= needed <= s.efficiency_high])
    return np.mean(hits, 0)


def test_bands_and_labels_needed_cover_with_ten_seeds(replicates=50):
    *band, needed = curve_coverage(replicates, 500, 10, n_boot=200)
    assert np.mean(band) >= .92 - slack(.92, replicates) and min(band) >= .92 - 1.5 * slack(.92, replicates)
    assert needed >= .92 - slack(.92, replicates)


def twins(seed, n_test=400, n_seeds=3):
    "Two models that are equal in law: other features of the same quality."
    rng = np.random.default_rng([11, seed])
    (x, y), (x_test, y_test) = draw(1000, rng), draw(n_test, rng)
    rows = cells_of(x, y, x_test, y_test, [seed, 0], n_seeds, 'a')
    x2, x_test2 = CENTRES[y] + rng.normal(size=x.shape), CENTRES[y_test] + rng.normal(size=x_test.shape)
    return rows + cells_of(x2, y, x_test2, y_test, [seed, 0], n_seeds, 'b'), y_test


def test_identical_pairs_do_not_cross(replicates=50):
    claimed, seeming = [], []
    for r in range(replicates):
        rows, y_test = twins(r)
        _, _, draws = _all_curves(Cells(rows), majority_of(rows, y_test), find_metric('accuracy'), .95, 200)
        found = find_crossings(draws).iloc[0]
        means = {m: d.mean(0) for m, (_, d) in draws.items()}
        gap = means['b'] - means['a']
        seeming.append(gap[0] * gap[-1] < 0)
        claimed.append(np.isfinite(found.n))
    assert np.mean(seeming) > .25 # what was claimed before
    assert np.mean(claimed) <= .05 + slack(.05, replicates)


def test_a_clear_crossing_is_found():
    rng = np.random.default_rng(0)
    n = np.array(SIZES)
    rising = {'fast': 1 - .5 * (n / 20.)**-.1, 'steep': 1 - .7 * (n / 20.)**-.6}
    found = find_crossings({m: (n, c + .01 * rng.normal(size=(300, 5))) for m, c in rising.items()}).iloc[0]
    assert found.share > .99 and found.low <= found.n <= found.high


def test_a_model_that_learns_nothing_needs_no_number_of_labels():
    rng = np.random.default_rng(0)
    (x, y), (x_test, y_test) = draw(1000, rng), draw(500, rng)
    rows = cells_of(x, y, x_test, y_test, [0], 4, 'good') + cells_of(x, y, x_test, y_test, [0], 4, 'noise', noise=True)
    _, summary, _ = _all_curves(Cells(rows), majority_of(rows, y_test), find_metric('accuracy'), .95, 200)
    good, noise = summary.itertuples()
    assert good.has_learned and np.isfinite(good.label_efficiency)
    assert not noise.has_learned and np.isnan(noise.label_efficiency)


def network(seed):
    import torch
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(D, 24), torch.nn.ReLU())


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    rng = np.random.default_rng(4)
    (x, y), (x_test, y_test) = draw(400, rng), draw(200, rng)
    data = x.astype(np.float32), y, x_test.astype(np.float32), y_test
    model = load_backbone(network(0), init=lambda seed: network(seed + 100))
    folder = tmp_path_factory.mktemp('run')
    return evaluate(model, data, protocols='linear_probe, random_probe', n_train=40, seeds=range(4), dtype='float32', out_dir=folder)


def test_a_table_over_seeds(run):
    over = run.over_seeds().set_index('protocol')
    assert (over.n_seeds == 4).all() and over.shared.between(.05, .2).all() and not over.error.any()
    means = run.groupby('protocol')[['train', 'test', 'upgradeability', 'gain']].mean()
    for column in means:
        assert np.allclose(over[column], means[column][over.index], equal_nan=True)
    probe = run[run.protocol == 'linear_probe']
    tests, trains = ([run.predictions(key)[split] for key in probe.key] for split in ('test', 'train'))
    score = score_over_seeds(tests, 'accuracy', shared=shared_examples(trains))
    assert (over.test_low['linear_probe'], over.test_high['linear_probe']) == (score.low, score.high)
    gained = gains(run, over_seeds=True)
    assert set(zip(gained.protocol, gained.baseline)) == set(zip(gains(run).protocol, gains(run).baseline)) and (gained.n_seeds == 4).all()


def test_one_seed_stays_as_it_is(run):
    one = run[run.seed == 2]
    over = one.over_seeds()
    pd.testing.assert_frame_equal(pd.DataFrame(over[one.columns]), pd.DataFrame(one.reset_index(drop=True)), check_dtype=False)


def test_sentences_say_which_training_samples_they_speak_of(run):
    several, one = verdict(run), verdict(run[run.seed == 0])
    over = run.over_seeds()
    probe = over[over.protocol == 'linear_probe'].iloc[0]
    assert f'{probe.test:.3f}' in several and several == verdict(over)
    assert several.count('for new training samples, mean of 4 seeds') == 4 and 'this training sample' not in several
    assert one.count('for this training sample') == 4 and 'new training samples' not in one
    assert setting(over).endswith('40 labels, for new training samples, mean of 4 seeds')
    assert setting(run[run.seed == 0]).endswith('40 labels, for this training sample') and setting(run).endswith('40 labels')


def test_with_all_labels_the_seeds_have_one_training_sample(tmp_path):
    rng = np.random.default_rng(5)
    (x, y), (x_test, y_test) = draw(60, rng), draw(100, rng)
    data = x.astype(np.float32), y, x_test.astype(np.float32), y_test
    over = evaluate(network(0), data, protocols='linear_probe', seeds=range(3), dtype='float32', out_dir=tmp_path).over_seeds()
    assert (over.shared == 1).all() and (over.n_seeds == 3).all()
    assert sample_text(over.iloc[0]) == 'for this training sample, mean of 3 seeds'


def test_seeds_by_default():
    assert [len(curve_seeds(p)) for p in ('knn', 'linear_probe', 'random_probe', 'fine_tune?epochs=2', 'mine')] == [10, 10, 3, 3, 3]
    assert curve_seeds('knn', '4, 5') == [4, 5]


def test_what_the_seeds_cannot_tell_is_said():
    assert _draw_remark([20, 100], [.1, .4], 10) == ''
    assert 'share 60%' in _draw_remark([20, 100], [.1, .6], 10)
    assert 'for this training sample' in _draw_remark([20, 100], [.6, 1.], 10)
    assert 'one seed' in _draw_remark([20], [1.], 1)


def test_an_interval_ends_at_the_best_value_that_a_metric_has():
    "R² is at most 1, also where few seeds differ much."
    from upgradeability.draws import bounds_of, score_over_seeds
    from upgradeability.kind import load_kinds
    from upgradeability.metrics import Predictions, find_metric
    load_kinds()
    rng = np.random.default_rng(0)
    y = rng.normal(size=200)
    tests = [Predictions(np.arange(200), y, y + noise * rng.normal(size=200), meta=dict(kind="regression", metric="r2")) for noise in (.05, .5)]
    found = score_over_seeds(tests, "r2", shared=.7)
    assert found.low < found.value < found.high == 1.
    assert bounds_of(find_metric("r2"), tests[0], True) == (-np.inf, np.inf)
    assert bounds_of(find_metric("accuracy"), tests[0], True) == (-1., 1.)
    assert bounds_of(find_metric("log_loss"), tests[0]) == (-np.inf, np.inf) # as far as is known
