"""Metrics, scores and comparisons against independent answers: scikit-learn, scipy, published examples, enumeration."""
import itertools, subprocess, sys, tracemalloc
import numpy as np, pandas as pd, pytest
from scipy import stats
from sklearn import metrics as sk
from upgradeability import comparisons as c, intervals as m
from upgradeability.comparisons import compare, compare_all, gain, holm, rank_groups, relative_gain, tie_letters
from upgradeability.intervals import bootstrap, few_units, per_class, per_class_upgradeability, score, upgradeability, wilson
from upgradeability.kind import load_kinds
from upgradeability.metrics import METRICS, Metric, Predictions, calibration, ece, mean_f1, per_unit, ratio

FRACTIONS = ['accuracy', 'balanced_accuracy', 'macro_f1']
load_kinds()
OF_ROWS = {name: metric for name, metric in METRICS.items() if name != 'span_f1' and metric.reads == 'classes'} # entities and lists have tests of their own


def softmax(z): return np.exp(z) / np.exp(z).sum(1, keepdims=True)


def make(n=200, classes=4, strength=1.5, seed=0, groups=None, labels=None):
    "Random predictions of a mediocre model."
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n) if labels is None else labels
    scores = softmax(rng.normal(size=(n, classes)) + strength * np.eye(classes)[y])
    return Predictions(np.arange(n), y, scores.argmax(1), scores, groups)


def pair(n=200, classes=4, seed=0, **kwargs):
    y = np.random.default_rng(seed + 1000).integers(classes, size=n)
    return make(n, classes, seed=seed, labels=y, **kwargs), make(n, classes, seed=seed + 1, labels=y, **kwargs)


def right_wrong(n11, n10, n01, n00):
    "Two models with these numbers of units both right, first only, second only, both wrong."
    a, b = np.repeat([0, 0, 1, 1], [n11, n10, n01, n00]), np.repeat([0, 1, 0, 1], [n11, n10, n01, n00])
    return [Predictions(np.arange(len(a)), np.zeros_like(a), pred) for pred in (a, b)]


def replace(p, **changes):
    kept = dict(ids=p.ids, y=p.y, pred=p.pred, scores=p.scores, groups=p.groups, split=p.split, meta=p.meta)
    return Predictions(**{**kept, **changes})


def ends(s): return s.value, s.low, s.high


# Values

@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('n, classes', [(300, 2), (300, 5), (12, 9)])
def test_values_equal_scikit_learn(n, classes, seed):
    p = make(n, classes, seed=seed)
    assert np.isclose(float(score(p, 'accuracy')), sk.accuracy_score(p.y, p.pred))
    present = np.isin(p.pred, p.y)
    assert np.isclose(float(score(p.take(present), 'balanced_accuracy')), sk.balanced_accuracy_score(p.y[present], p.pred[present]))
    assert np.isclose(float(score(p, 'macro_f1')), sk.f1_score(p.y, p.pred, average='macro', zero_division=0))
    assert np.isclose(float(score(p, 'log_loss')), sk.log_loss(p.y, p.scores, labels=range(classes)))
    assert np.isclose(float(score(p, 'brier')), ((p.scores - np.eye(classes)[p.y])**2).sum(1).mean())


def test_a_class_that_is_only_predicted_counts_in_f1_but_not_in_recall():
    p = Predictions(range(4), [0, 0, 1, 1], [0, 2, 1, 1])
    assert np.isclose(float(score(p, 'macro_f1')), (2/3 + 1 + 0) / 3)
    assert np.isclose(float(score(p, 'balanced_accuracy')), (.5 + 1) / 2)


def test_log_loss_of_a_certain_mistake_is_finite_and_depends_on_the_stored_type():
    for kind in (np.float32, np.float64):
        p = Predictions([0], [0], [1], np.array([[0, 1]], kind))
        assert np.isclose(float(score(p, 'log_loss')), -np.log(np.finfo(kind).eps))


def test_unit_sums_add_up_to_the_row_sums():
    groups = np.random.default_rng(0).choice(list('abcdefgh'), 200)
    p, q = make(groups=groups), make()
    for metric in OF_ROWS.values():
        assert metric.unit_stats(p).shape[0] == 8
        assert np.allclose(metric.unit_stats(p).sum(0), metric.unit_stats(q).sum(0))
    assert np.allclose(per_unit(p, np.ones((200, 1))).toarray()[:, 0], np.unique(groups, return_counts=True)[1])


# Intervals

@pytest.mark.parametrize('k, n', [(0, 20), (1, 29), (15, 148), (81, 263), (29, 29), (1, 1)])
def test_wilson_equals_scipy(k, n):
    known = stats.binomtest(k, n).proportion_ci(method='wilson')
    assert np.allclose(wilson(k / n, n), (known.low, known.high))
    p = Predictions(np.arange(n), np.zeros(n, int), np.r_[np.zeros(k, int), np.ones(n - k, int)])
    s = score(p, 'accuracy')
    assert np.allclose(ends(s), (k / n, known.low, known.high)) and s.n_units == n


@pytest.mark.parametrize('k1, n1, k0, n0, low, high', [
    (56, 70, 48, 80, .0524, .3339), (9, 10, 3, 10, .1705, .8090), (6, 7, 2, 7, .0582, .8062),
    (5, 56, 0, 29, -.0381, .1926), (0, 10, 0, 20, -.1611, .2775), (0, 10, 0, 10, -.2775, .2775), (10, 10, 0, 20, .6791, 1.)])
def test_upgradeability_equals_newcombes_published_cases(k1, n1, k0, n0, low, high):
    test, train = (right_wrong(k, 0, 0, n - k)[0] for k, n in ((k1, n1), (k0, n0)))
    u = upgradeability(train, test, 'accuracy')
    assert np.allclose(ends(u), (k1 / n1 - k0 / n0, low, high), atol=6e-5) and u.n_units == min(n1, n0)


@pytest.mark.parametrize('cells', [(5, 2, 1, 3), (0, 0, 9, 0), (4, 0, 0, 6), (10, 20, 5, 1), (1, 0, 0, 0)])
def test_gain_of_accuracy_is_bonett_and_price(cells):
    n, (b, c) = sum(cells), cells[1:3]
    d, q = (c - b) / (n + 2), (b + c + 2) / (n + 2)
    half = stats.norm.ppf(.975) * np.sqrt((q - d**2) / (n + 2))
    first, second = right_wrong(*cells)
    g = gain(second, first, 'accuracy')
    assert np.isclose(g.value, (c - b) / n) and g.low <= g.value <= g.high
    assert np.isclose(g.low, max(-1, min(g.value, d - half))) and np.isclose(g.high, min(1, max(g.value, d + half)))


def test_relative_gain_in_limits_and_against_the_published_ratio_interval():
    first, second = right_wrong(10, 0, 20, 0)
    assert relative_gain(second, first, 'accuracy').value == 1 and 0 < relative_gain(second, first, 'accuracy').low < 1
    assert relative_gain(first, first, 'accuracy').value == 0
    assert np.isnan(relative_gain(first, second, 'accuracy').value)
    # Bonett and Price (2006) from its definition: errors of two models, 15 shared, 12 and 5 not
    n11, n10, n01 = 15, 12, 5
    total, z = n11 + n10 + n01, stats.norm.ppf(.975)
    x1, x0 = n11 + n01, n11 + n10
    a = np.sqrt((n10 + n01 + 2) / ((x1 + 1) * (x0 + 1)))
    b, c = (np.sqrt((1 - (x + 1) / (total + 2)) / (x + 1)) for x in (x1, x0))
    k = 2 * stats.norm.cdf(a / (b + c) * z) - 1
    i1, i0 = (stats.binomtest(x, total).proportion_ci(k, 'wilson') for x in (x1, x0))
    first, second = right_wrong(40, 5, 12, 15)
    s = relative_gain(second, first, 'accuracy')
    assert np.allclose(ends(s), (1 - x1 / x0, 1 - i1.high / i0.low, 1 - i1.low / i0.high))


def test_a_loss_is_turned_so_that_up_is_better():
    good, bad = make(strength=4), make(strength=.5, labels=make(strength=4).y)
    for metric in OF_ROWS:
        assert gain(good, bad, metric).low > 0 and upgradeability(good, bad, metric).high < 0
        assert compare(bad, good, metric).difference.value > 0
    s = upgradeability(bad, good, 'log_loss')
    assert np.isclose(s.value, float(score(bad, 'log_loss')) - float(score(good, 'log_loss'))) and s.low < s.value < s.high


def test_the_interval_of_a_loss_agrees_with_students():
    p = make(400)
    loss = -np.log(p.scores[np.arange(400), p.y])
    half = stats.t.ppf(.975, 399) * loss.std(ddof=1) / 20
    s = score(p, 'log_loss', n_boot=20_000)
    assert np.allclose([s.low, s.high], [loss.mean() - half, loss.mean() + half], atol=.05 * half + .01)


def test_paired_bootstrap_error_is_that_of_the_unit_differences():
    a, b = pair(500)
    d = np.subtract(*(-np.log(p.scores[np.arange(500), p.y]) for p in (a, b)))
    g = gain(b, a, 'log_loss', n_boot=20_000)
    assert np.isclose(g.value, d.mean()) and np.isclose((g.high - g.low) / 2 / 1.96, d.std() / np.sqrt(500), rtol=.03)


def test_copies_of_a_row_add_no_evidence():
    p = make(60)
    rows = np.repeat(np.arange(60), 5)
    copies = Predictions(np.arange(300), p.y[rows], p.pred[rows], p.scores[rows], groups=rows)
    assert np.allclose(ends(score(copies, 'accuracy')), ends(score(p, 'accuracy')), atol=.01)
    assert np.allclose(ends(score(copies, 'macro_f1')), ends(score(p, 'macro_f1')), atol=.02)
    assert score(copies, 'accuracy').n_units == 60


def test_independent_rows_in_groups_count_as_rows():
    p = make(3000)
    s, g = score(p, 'accuracy'), score(replace(p, groups=np.arange(3000) // 10), 'accuracy', n_boot=5000)
    assert np.isclose(g.high - g.low, s.high - s.low, rtol=.15)


# Bootstrap and permutation

def test_bootstrap_weights_have_the_distribution_of_naive_resampling():
    "All 27 resamples of three units, two of them alike, by enumeration."
    p = Predictions(range(3), [0, 0, 1], [0, 0, 0])
    naive = [mean_f1(METRICS['macro_f1'].unit_stats(p).toarray()[list(i)].sum(0)) for i in itertools.product(range(3), repeat=3)]
    values, counts = np.unique(np.round(naive, 9), return_counts=True)
    drawn = np.round(bootstrap(p, 'macro_f1', n_boot=20_000), 9)
    seen = np.array([(drawn == v).sum() for v in values])
    assert seen.sum() == 20_000 and stats.chisquare(seen, 20_000 * counts / 27).pvalue > .001


@pytest.mark.parametrize('metric', ['macro_f1', 'log_loss'])
def test_weights_times_rows_equal_the_loop_with_the_same_draws(metric):
    p, metric = make(50), METRICS[metric]
    rows, counts = m._distinct_rows(metric.unit_stats(p))
    for w in m._weights(counts, 20, rows.shape[1], np.random.default_rng(0)):
        assert (w.sum(1) == 50).all()
        assert np.allclose(metric.reduce(w @ rows), [metric.reduce(np.repeat(rows.toarray(), v.astype(int), axis=0).sum(0)) for v in w], atol=1e-12)


def test_distinct_rows_rebuild_the_table():
    stats_ = METRICS['macro_f1'].unit_stats(make(500, 3)).toarray()
    rows, counts = m._distinct_rows(m.sparse.csr_array(stats_))
    known, known_counts = np.unique(stats_, axis=0, return_counts=True)
    order = np.lexsort(rows.toarray().T[::-1])
    assert (rows.toarray()[order] == known).all() and (counts[order] == known_counts).all()


def test_bootstrap_memory_does_not_grow_with_resamples_times_examples():
    p = make(40_000, 2)
    table = METRICS['log_loss'].unit_stats(p)
    tracemalloc.start()
    m._bootstrap(METRICS['log_loss'], [table], 2000, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120e6 < 2000 * 40_000 * 8 / 4


@pytest.mark.parametrize('b, c', [(0, 0), (1, 5), (5, 1), (10, 10), (300, 340), (0, 9)])
def test_mcnemar_equals_the_binomial_test(b, c):
    first, second = right_wrong(50, b, c, 20)
    found = compare(first, second)
    assert np.isclose(found.p_value, stats.binomtest(b, b + c).pvalue - (b != c) * stats.binom.pmf(b, b + c, .5) if b + c else 1) # mid-p
    assert (found.negative_flips, found.positive_flips, found.n_units) == (b, c, 70 + b + c)
    assert np.isclose(found.net, found.difference.value) and np.isclose(found.negative_share, b / found.n_units)


def slow_ratio(metric, x, y):
    "The studentised difference of two tables by a loop: slopes by small steps, one unit after the other."
    def slopes(total): return np.array([(metric.reduce(total + h) - metric.reduce(total - h)) / 2e-6 if total[j] else 0. for j, h in enumerate(1e-6 * np.eye(len(total)))])
    value = metric.reduce(y.sum(0)) - metric.reduce(x.sum(0))
    down, up = slopes(x.sum(0)), slopes(y.sum(0))
    added = np.array([up @ b - down @ a for a, b in zip(x, y)])
    return 0 if abs(value) < 1e-12 else abs(value) / np.sqrt(len(x) * added.var(ddof=1))


@pytest.mark.parametrize('metric', ['macro_f1', 'log_loss', 'balanced_accuracy', 'weighted_kappa'])
def test_the_swap_test_approaches_the_enumeration_of_all_swaps(metric):
    a, b = pair(10, 3, seed=3)
    metric, found = m.find_metric(metric), c._pair(m.find_metric(metric), a, b)
    x, y = found.before.toarray(), found.after.toarray()
    every = [slow_ratio(metric, np.where(s, y, x), np.where(s, x, y)) for s in (np.array(s)[:, None] for s in itertools.product([False, True], repeat=10))]
    exact = np.mean(np.array(every) >= slow_ratio(metric, x, y) * (1 - 1e-6))
    rows = c._paired_rows(found)
    ratio, _ = c._ratio_and_error(*rows.difference(rows.counts[None], 0 * rows.counts[None]), 10)
    assert np.isclose(abs(ratio[0]), slow_ratio(metric, x, y), rtol=1e-4)
    by_chance = c._swapped_ratios(rows, 20_000, np.random.default_rng(0))
    assert abs((by_chance >= abs(ratio[0]) * (1 - 1e-9)).mean() - exact) < .015


def test_flips_are_counted_by_example_and_units_by_group():
    y, groups = np.zeros(6, int), np.array([0, 0, 1, 1, 2, 2])
    a, b = (Predictions(range(6), y, pred, groups=groups) for pred in ([0, 0, 1, 0, 1, 1], [0, 1, 0, 1, 0, 1]))
    found = compare(a, b)
    assert (found.negative_flips, found.positive_flips, found.n_units, found.n_tested) == (2, 2, 3, 6)
    assert np.isnan([found.p_value, found.difference.low, found.difference.high]).all() # three groups say nothing about others


# Invariances

@pytest.mark.parametrize('metric', OF_ROWS)
@pytest.mark.parametrize('grouped', [False, True])
def test_the_order_of_rows_changes_nothing(metric, grouped):
    groups = np.arange(200) // 4 if grouped else None
    a, b = pair(groups=groups)
    order = np.random.default_rng(9).permutation(200)
    assert np.allclose(ends(score(a, metric)), ends(score(a.take(order), metric)), atol=1e-9)
    one, two = compare(a, b, metric), compare(a.take(order), b.take(order[::-1]), metric)
    assert np.allclose(ends(one.difference), ends(two.difference), atol=1e-9) and np.isclose(one.p_value, two.p_value)
    assert (one.negative_flips, one.positive_flips) == (two.negative_flips, two.positive_flips)


@pytest.mark.parametrize('metric', ['accuracy', 'macro_f1'])
def test_the_names_of_groups_and_ids_change_nothing(metric):
    groups = np.random.default_rng(0).integers(50, size=200)
    a = make(groups=groups)
    renamed = replace(a, groups=np.array([f'scene {997 * g % 101}' for g in groups]), ids=np.array([f'file{i}' for i in range(200)]))
    assert np.allclose(ends(score(a, metric)), ends(score(renamed, metric)), atol=1e-9)


@pytest.mark.parametrize('metric', FRACTIONS)
def test_renaming_classes_changes_nothing(metric):
    a, b = pair()
    to = np.array([2, 0, 3, 1])
    ra, rb = (Predictions(p.ids, to[p.y], to[p.pred]) for p in (a, b))
    assert np.allclose(ends(score(a, metric, n_boot=8000)), ends(score(ra, metric, n_boot=8000)), atol=.004)
    one, two = compare(a, b, metric, n_boot=8000), compare(ra, rb, metric, n_boot=8000)
    assert np.allclose(ends(one.difference), ends(two.difference), atol=.004) and abs(one.p_value - two.p_value) < .02
    assert one.negative_flips == two.negative_flips


@pytest.mark.parametrize('metric', OF_ROWS)
def test_a_against_b_mirrors_b_against_a(metric):
    a, b = pair(n=150)
    one, two = compare(a, b, metric, n_boot=6000), compare(b, a, metric, n_boot=6000)
    assert np.isclose(one.difference.value, -two.difference.value) and np.isclose(one.difference.low, -two.difference.high, atol=.02)
    assert (one.negative_flips, one.positive_flips) == (two.positive_flips, two.negative_flips) and abs(one.p_value - two.p_value) < .03


def test_a_seed_fixes_the_result_and_another_changes_it():
    p = make()
    assert ends(score(p, 'macro_f1', seed=3)) == ends(score(p, 'macro_f1', seed=3)) != ends(score(p, 'macro_f1', seed=4))


def test_models_that_know_different_numbers_of_classes_can_be_compared():
    y = np.array([0, 1, 0, 1])
    a, b = Predictions(range(4), y, [0, 1, 5, 1]), Predictions(range(4), y, [0, 1, 0, 1])
    assert np.isclose(compare(a, b, 'macro_f1').difference.value, 1 - sk.f1_score(y, [0, 1, 5, 1], average='macro'))


# Extremes

@pytest.mark.parametrize('metric', OF_ROWS)
@pytest.mark.parametrize('n, y, pred', [(1, 0, 0), (1, 0, 1), (30, 0, 0), (30, 0, 1)])
def test_extreme_sets_give_sensible_figures(metric, n, y, pred):
    scores = np.tile(np.eye(2)[pred] * .98 + .01, (n, 1))
    p = Predictions(np.arange(n), np.full(n, y), np.full(n, pred), scores)
    s = score(p, metric)
    if METRICS[metric].fraction: assert s.value == (y == pred) and 0 <= s.low <= s.value <= s.high <= 1 and s.high - s.low > 1 / (2 * n)
    elif METRICS[metric].limits: assert s.low <= s.value <= s.high and s.high - s.low > 1 / (2 * n) # the errors' share of their range
    else: assert np.isnan(s.low) if n == 1 else np.isclose(s.low, s.high)
    same = compare(p, p, metric, margin=.5)
    assert same.p_value == 1 and same.difference.value == 0 and same.negative_flips == same.positive_flips == 0


def test_a_constant_model_has_upgradeability_near_zero():
    train, test = (Predictions(np.arange(n), np.arange(n) % 4, np.zeros(n, int)) for n in (400, 800))
    for metric in FRACTIONS:
        u = upgradeability(train, test, metric)
        assert u.value == 0 and u.low < 0 < u.high


def test_a_rare_class_without_mistakes_keeps_the_interval_wide():
    p = Predictions(np.arange(106), np.r_[np.zeros(100, int), np.ones(6, int)], np.r_[np.zeros(99, int), 1, np.ones(6, int)])
    s = score(p, 'balanced_accuracy')
    assert s.low < .5 + .5 * wilson(1, 6)[0] + .12 and s.high - s.low > .1


# Several models

def test_holm_is_the_textbook_procedure():
    p = np.random.default_rng(0).random(30)**3
    order, rejected = np.argsort(p), np.zeros(30, bool)
    for k, i in enumerate(order):
        if p[i] > .05 / (30 - k): break
        rejected[i] = True
    assert ((holm(p) <= .05) == rejected).all() and (holm(p) >= p).all() and len(holm([])) == 0


@pytest.mark.parametrize('seed', range(20))
def test_letters_are_shared_exactly_by_models_that_are_not_separated(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9))
    apart = {pair for pair in itertools.combinations(range(n), 2) if rng.random() < rng.choice([.2, .5, .9])}
    letters = [set(x) for x in tie_letters(n, apart)]
    for i, j in itertools.combinations(range(n), 2): assert bool(letters[i] & letters[j]) == ((i, j) not in apart)
    columns = [{i for i in range(n) if letter in letters[i]} for letter in set.union(*letters)]
    assert not any(a < b for a in columns for b in columns)


def test_identical_models_share_the_chance_of_being_best_and_the_letter():
    p = make(80)
    for metric in ('accuracy', 'macro_f1', 'log_loss'):
        df = rank_groups({k: p for k in 'abcd'}, metric, n_boot=300)
        assert np.allclose(df.p_best, .25) and df.top.all() and (df.letters == 'a').all()


def test_ranking_finds_the_clear_order_whatever_the_order_given():
    y = make(400).y
    models = {s: make(400, strength=s, seed=i, labels=y) for i, s in enumerate([4., .1, 2.])}
    for metric, first in (('accuracy', 4.), ('log_loss', 4.)):
        one, two = (rank_groups(dict(order), metric, n_boot=500) for order in (models.items(), reversed(models.items())))
        assert list(one.model) == [4., 2., .1] and list(one.letters) == ['a', 'b', 'c'] and list(one.top) == [True, False, False]
        pd.testing.assert_frame_equal(one, two)


def test_one_model_ranks_alone():
    df = rank_groups({'only': make(50)})
    assert df.p_best.tolist() == [1] and df.letters.tolist() == ['a'] and len(compare_all({'only': make(50)})) == 0


def test_permutations_suffice_for_the_number_of_pairs():
    "Twelve copies of a good model and one bad: 78 pairs, and the bad one must still be separable by a permutation test."
    good = make(300, strength=3)
    models = {f'good {i}': good for i in range(12)} | {'bad': make(300, strength=.2, seed=5, labels=good.y)}
    df = compare_all(models, 'macro_f1', n_boot=200)
    assert (df[df.b == 'bad'].p_holm < .05).all() and (df[df.b != 'bad'].p == 1).all()


# Classes and calibration

def test_per_class_equals_scikit_learn():
    p = make(300, 5)
    df, known = per_class(p), sk.precision_recall_fscore_support(p.y, p.pred)
    assert np.allclose(df[['precision', 'recall', 'f1', 'n']].T, known)
    hits = [((p.y == c) & (p.pred == c)).sum() for c in range(5)]
    assert np.allclose(df[['low', 'high']], [wilson(h / n, n) for h, n in zip(hits, df.n)])


def test_classes_that_do_not_occur_have_no_figures():
    p = Predictions(range(4), [0, 0, 1, 1], [0, 0, 1, 0], meta=dict(classes=('cat', 'dog', 'eel')))
    df = per_class(p).set_index('class')
    assert df.loc['eel', 'n'] == 0 and df.loc['eel', ['recall', 'low', 'high', 'precision', 'f1']].isna().all()
    up = per_class_upgradeability(p.take(p.y == 0), p).set_index('class')
    assert up.loc['cat', 'upgradeability'] == 0 and np.isnan(up.loc['dog', 'upgradeability']) and up.loc['dog', 'n_train'] == 0


def test_per_class_upgradeability_is_newcombe_within_the_class():
    train, test = make(100, seed=1, strength=4), make(300, seed=2)
    df = per_class_upgradeability(train, test)
    for label in range(4):
        assert np.allclose(df.loc[label, ['upgradeability', 'low', 'high']].astype(float),
                           ends(upgradeability(train.take(train.y == label), test.take(test.y == label), 'accuracy')))


def test_calibration_bins_have_equal_mass_and_keep_ties_together():
    p = make(600, 3)
    df = calibration(p, 12)
    assert (df.n == 50).all() and df.confidence.is_monotonic_increasing and np.isclose((df.accuracy * df.n).sum() / 600, (p.y == p.pred).mean())
    tied = replace(p, scores=np.full((600, 3), 1/3))
    assert len(calibration(tied)) == 1 and np.isclose(ece(tied)[0], abs((p.y == p.pred).mean() - 1/3))


def test_ece_of_a_calibrated_model_equals_its_reference_and_overconfidence_exceeds_it():
    rng, errors = np.random.default_rng(0), []
    for _ in range(30):
        scores = softmax(2 * rng.normal(size=(400, 3)))
        y = (rng.random((400, 1)) > scores.cumsum(1)).sum(1)
        p = Predictions(np.arange(400), y, scores.argmax(1), scores)
        errors.append(ece(p, n_sim=50))
    value, reference = np.mean(errors, 0)
    assert abs(value / reference - 1) < .1
    sharp = scores**4 / (scores**4).sum(1, keepdims=True)
    assert ece(replace(p, scores=sharp))[0] > 2 * ece(replace(p, scores=sharp))[1]


def test_few_units_counts_groups_and_absent_classes():
    p = Predictions(range(12), [0]*6 + [1]*6, [0]*12, groups=[0]*6 + list(range(6)), meta=dict(classes=('cat', 'dog')))
    assert 'cat: 1' in few_units(p) and 'dog' not in few_units(p)
    assert 'eel: 0' in few_units(replace(p, groups=None, meta=dict(classes=('cat', 'dog', 'eel'))))
    assert few_units(replace(p, groups=None)) is None


# A metric of one's own

def kappa(sums):
    n, agree, said, true = np.moveaxis(sums, -1, 0)
    chance = (said * true + (n - said) * (n - true)) / n**2
    return (agree / n - chance) / (1 - chance)


KAPPA = Metric('kappa', lambda p: per_unit(p, np.column_stack([np.ones(len(p)), p.y == p.pred, p.pred == 1, p.y == 1])), kappa)


def test_a_metric_of_ones_own_works_everywhere_as_object_or_by_name(monkeypatch):
    a, b = pair(300, 2)
    assert np.isclose(float(score(a, KAPPA)), sk.cohen_kappa_score(a.y, a.pred))
    monkeypatch.setitem(METRICS, 'kappa', KAPPA)
    assert ends(score(a, 'kappa')) == ends(score(a, KAPPA)) and score(a, 'kappa').low < score(a, 'kappa').value
    found = compare(a, b, 'kappa')
    assert found.difference.low < found.difference.value < found.difference.high and 0 < found.p_value <= 1
    assert rank_groups({'a': a, 'b': b}, 'kappa', n_boot=200).shape == (2, 7)


def test_plain_arrays_will_do_as_unit_stats():
    dense = Metric('acc', lambda p: np.column_stack([p.y == p.pred, np.ones(len(p))]), ratio, fraction=True)
    assert ends(score(make(), dense)) == ends(score(make(), 'accuracy'))


def test_compare_takes_the_metric_of_the_predictions():
    a, b = (replace(p, meta=dict(metric='macro_f1')) for p in pair())
    assert compare(a, b).difference.metric == 'difference (macro_f1)'
    assert compare(*pair()).difference.metric == 'difference (accuracy)'


def test_verdict_needs_a_margin_and_the_lower_end_above_it():
    first, second = right_wrong(900, 20, 25, 55)
    low = compare(first, second).difference.low
    assert low < 0 and compare(first, second).verdict is None
    assert compare(first, second, margin=-low + 1e-6).verdict == 'go' and compare(first, second, margin=-low - 1e-6).verdict == 'cannot tell'
    worse = compare(*right_wrong(900, 60, 5, 35), margin=.01)
    assert worse.difference.high < -.01 and worse.verdict == 'no-go'


def test_a_score_reads_well():
    s = m.Score('accuracy', .731, .711, .750, .95, 2000)
    assert repr(s) == 'accuracy 0.731 [0.711, 0.750] (95 %, n=2000)' and float(s) == .731


# Bad input

GOOD = dict(ids=[0, 1, 2], y=[0, 1, 1], pred=[0, 1, 0])


@pytest.mark.parametrize('change, says', [
    (dict(y=[0., 1., 1.]), 'integer class codes'), (dict(y=[0, 1, np.nan]), 'integer class codes'), (dict(pred=['a', 'b', 'b']), 'integer class codes'),
    (dict(y=[0, 1]), r'shape \(3,\); got shape \(2,\)'), (dict(y=[0, -1, 1]), 'row 1 has -1'), (dict(ids=[0, 1, 1]), '1 of 3 are repeats'),
    (dict(ids=[[0], [1], [2]]), 'one id per example'), (dict(groups=[0, 1]), 'groups'), (dict(scores=np.ones((2, 2))), r'shape \(3,'),
    (dict(scores=np.array([[1, 0], [0, 1], [np.nan, 1]])), 'first is row 2'), (dict(scores=np.ones((3, 1))), '1 columns, but class code 1'),
    (dict(meta=dict(classes=('cat',))), 'Class code 1 has no name')])
def test_predictions_refuse(change, says):
    with pytest.raises(ValueError, match=says): Predictions(**{**GOOD, **change})


@pytest.mark.parametrize('call, says', [
    (lambda a, b: score(a, 'acuracy'), "Did you mean 'accuracy'"), (lambda a, b: score(a.take([]), 'accuracy'), 'No examples to score'),
    (lambda a, b: score(a, 'accuracy', level=95), 'such as .95'), (lambda a, b: score(replace(a, scores=None), 'brier'), 'needs class probabilities'),
    (lambda a, b: score(replace(a, scores=10 * a.scores), 'log_loss'), 'apply a softmax'), (lambda a, b: ece(replace(a, scores=None)), 'needs class probabilities'),
    (lambda a, b: compare(a, b.take(range(150))), '150 ids are shared, 50 are only in the first'),
    (lambda a, b: gain(a, replace(b, ids=b.ids + 1000), 'accuracy'), '0 ids are shared'),
    (lambda a, b: compare(a, replace(b, y=1 - np.minimum(b.y, 1))), 'different true classes'),
    (lambda a, b: compare(a, replace(b, groups=np.zeros(200, int))), 'different `groups`'),
    (lambda a, b: relative_gain(a, b, 'log_loss'), 'maximum is 1'), (lambda a, b: compare_all({}), 'No models')])
def test_calls_refuse(call, says):
    with pytest.raises(ValueError, match=says): call(*pair())


# Metrics of one kind of task

def test_a_metric_of_a_kind_is_found_by_its_name_before_the_kind_is_used():
    "In a new process, where no kind was imported yet."
    script = """if True:
        from upgradeability.metrics import METRICS, Predictions, find_metric
        from upgradeability.intervals import score
        assert not {'weighted_kappa', 'span_f1', 'ndcg@10'} & set(METRICS)
        p = Predictions(range(4), [0, 1, 2, 2], [0, 1, 2, 1])
        for name in ('span_f1', 'ndcg@10'):
            try: score(p, name)
            except ValueError as e: print(e)
        print(score(p, 'weighted_kappa').value, find_metric('recall@10').reads)
        try: score(p, 'weighted_kapa')
        except ValueError as e: print(e)
    """
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    spans, lists, found, unknown = done.stdout.splitlines()
    assert 'Entities are found in sentences' in spans and "'ndcg@10' is computed from lists of items" in lists and 'weighted_kappa' in lists
    assert found == '0.8 lists' and "Did you mean 'weighted_kappa'" in unknown


def test_every_metric_of_a_kind_is_known_once_kinds_are_loaded():
    for kind in load_kinds().values(): assert {kind.metric, kind.judge, *kind.also} <= METRICS.keys()
