"""Intervals of a single figure where they were too narrow or too wide: groups, losses, grades, rare classes, lists and spans.

At least 92 % has to be covered, and at most 98 % where 20 errors are expected; each share gets two standard errors of its simulation.
"""
import numpy as np, pytest
from dataclasses import replace
from upgradeability.intervals import _influences, _studentised, all_class_bounds, cautions, effective_number, score, upgradeability, wilson
from upgradeability.metrics import METRICS, Predictions, find_metric, unit_tables

find_metric('ndcg@10') # loads the kinds
LOW, HIGH = .92, .98


def predictions(y, pred, **fields): return Predictions(np.arange(len(y)), y, pred, **fields)


def covered(draw, metric, truth, runs, n_boot=200):
    "The share of intervals that include the truth, and their mean width."
    rng = np.random.default_rng(0)
    found = [score(draw(rng), metric, n_boot=n_boot, seed=i) for i in range(runs)]
    inside = [s.low - 1e-12 <= truth <= s.high + 1e-12 for s in found]
    return np.mean(inside), np.mean([s.high - s.low for s in found])


def slack(bound, runs): return 2 * np.sqrt(bound * (1 - bound) / runs)


def is_enough(share, runs): return share >= LOW - slack(LOW, runs)


def is_not_too_much(share, runs): return share <= HIGH + slack(HIGH, runs)


# groups

def group_sizes(effective, unequal, mean=10):
    "Sizes of groups that are worth so many equal ones."
    if not unequal: return np.full(effective, mean)
    from scipy.stats import norm
    for n in range(effective, 100 * effective):
        quantiles = (np.arange(n) + .5) / n
        sizes = np.maximum(1, np.round(mean * np.exp(1.3 * norm.ppf(quantiles) - .6))).astype(int)
        if effective_number(sizes) >= effective: return sizes


def draw_groups(rng, sizes, p, icc):
    "Right and wrong rows in groups whose own accuracy is beta distributed with this intra-class correlation."
    k = (1 - icc) / icc
    ability = rng.beta(p * k, (1 - p) * k, len(sizes))
    group = np.repeat(np.arange(len(sizes)), sizes)
    wrong = rng.random(len(group)) >= ability[group]
    return predictions(np.zeros(len(group), int), wrong.astype(int), groups=group)


HARDEST = [(10, False, .5, .05), (10, False, .95, .8), (10, True, .5, .05), (10, True, .8, .3), (14, True, .8, .8), (20, True, .95, .3), (50, True, .95, .3), (50, False, .8, .8), (200, True, .8, .05)]


@pytest.mark.parametrize('effective, unequal, p, icc', HARDEST)
def test_accuracy_of_groups(effective, unequal, p, icc, runs=200):
    sizes = group_sizes(effective, unequal)
    assert effective_number(sizes) == pytest.approx(effective, rel=.1)
    share, _ = covered(lambda rng: draw_groups(rng, sizes, p, icc), 'accuracy', p, runs)
    assert is_enough(share, runs)


def draw_group_errors(rng, sizes, icc):
    "Lognormal errors whose logarithm has this intra-class correlation."
    group = np.repeat(np.arange(len(sizes)), sizes)
    z = rng.normal(size=len(sizes))[group] * icc**.5 + rng.normal(size=len(group)) * (1 - icc)**.5
    return predictions(np.zeros(len(group)), np.exp(z), groups=group)


@pytest.mark.parametrize('effective, unequal, icc', [(10, False, .05), (10, True, .3), (20, True, .05)])
def test_errors_of_groups(effective, unequal, icc, runs=200):
    sizes = group_sizes(effective, unequal)
    share, _ = covered(lambda rng: draw_group_errors(rng, sizes, icc), 'mae', np.exp(.5), runs)
    assert is_enough(share, runs)


def test_few_groups_get_no_interval_and_say_why():
    rng = np.random.default_rng(0)
    for metric, make in (('accuracy', lambda m: draw_groups(rng, m, .8, .3)), ('mae', lambda m: draw_group_errors(rng, m, .3))):
        one_writes_most, four, seven = [171] + [1] * 19, [10] * 4, [10] * 7
        for sizes in (one_writes_most, four):
            s = score(make(sizes), metric)
            assert np.isfinite(s.value) and np.isnan(s.low) and np.isnan(s.high) and s.n_effective == pytest.approx(effective_number(sizes))
            assert 'no interval' in ' '.join(cautions(make(sizes), metric))
        assert '90 % of the rows' in ' '.join(cautions(make(one_writes_most), metric))
        assert np.isfinite(score(make(seven), metric).low) and 'may be too narrow' in ' '.join(cautions(make(seven), metric))
        assert not any('weigh as much' in sentence for sentence in cautions(make([10] * 16), metric))


def test_units_of_one_row_are_independent_examples():
    p = predictions(np.zeros(30, int), np.r_[np.ones(3, int), np.zeros(27, int)])
    alone, single = score(p, 'accuracy'), score(replace(p, groups=p.ids), 'accuracy')
    assert (alone.low, alone.high) == (single.low, single.high) == wilson(.9, 30) and single.widening == alone.widening == 1 and alone.n_effective == pytest.approx(30)
    few = p.take([0, 1, 2]) # three examples are few, but nothing is grouped
    assert np.isfinite(score(few, 'accuracy').low)


def test_widening_is_against_independent_examples():
    rng = np.random.default_rng(1)
    p = draw_groups(rng, np.full(40, 10), .8, .8)
    s, alone = score(p, 'accuracy'), score(replace(p, groups=None), 'accuracy')
    assert s.widening == pytest.approx((s.high - s.low) / (alone.high - alone.low)) and 2 < s.widening < 4
    assert 40 < s.n_effective < 80 and upgradeability(p, p, 'accuracy').widening == pytest.approx(s.widening, rel=.1)
    sentences = replace(p, meta=dict(kind='tagging', classes=('O', 'B-A')))
    assert score(sentences, 'accuracy').widening == 1 # sentences are units by nature
    in_documents = replace(sentences, groups=p.groups // 2, unit=p.groups)
    assert score(in_documents, 'accuracy').widening > .7 and score(in_documents, 'accuracy').n_units == 20


# losses and regression

def draw_confident(rng, n, sharp):
    "Two-class probabilities, the more extreme the sharper."
    z = sharp * rng.normal(1.5, 1, n)
    q = 1 / (1 + np.exp(-z))
    return predictions(np.zeros(n, int), (q < .5).astype(int), scores=np.stack([q, 1 - q], 1).astype(np.float32))


def mean_of(metric, p): return float(METRICS[metric].reduce(METRICS[metric].unit_stats(p).sum(0)))


@pytest.mark.parametrize('metric, sharp', [('log_loss', 3), ('log_loss', 6), ('brier', 3)])
def test_losses_of_confident_models(metric, sharp, runs=300):
    truth = mean_of(metric, draw_confident(np.random.default_rng(9), 300_000, sharp))
    share, _ = covered(lambda rng: draw_confident(rng, 100, sharp), metric, truth, runs, n_boot=400)
    assert is_enough(share, runs)
    assert 'few large values' in ' '.join(cautions(draw_confident(np.random.default_rng(3), 30, 6), 'log_loss'))


def draw_line(rng, n, noise):
    x = rng.normal(size=n)
    errors = dict(normal=rng.normal, t5=lambda size: rng.standard_t(5, size))[noise](size=n)
    return predictions(x, x + .5 * errors)


@pytest.mark.parametrize('metric, noise', [('r2', 'normal'), ('mae', 't5'), ('rmse', 'normal')])
def test_regression(metric, noise, runs=250):
    truth = mean_of(metric, draw_line(np.random.default_rng(9), 300_000, noise))
    share, _ = covered(lambda rng: draw_line(rng, 100, noise), metric, truth, runs, n_boot=300)
    assert is_enough(share, runs) and is_not_too_much(share, runs)


def test_the_studentised_bootstrap_is_that_of_a_loop():
    losses = np.random.default_rng(0).lognormal(size=60)
    [table] = unit_tables(METRICS['mae'], predictions(np.zeros(60), losses))
    rng, t = np.random.default_rng(1), []
    for _ in range(4000):
        x = rng.choice(losses, 60)
        t.append((x.mean() - losses.mean()) / (x.std(ddof=1) / 60**.5))
    below, above = np.quantile(t, [.025, .975])
    error = losses.std(ddof=1) / 60**.5
    low, high = _studentised(METRICS['mae'], table, .95, 4000, seed=0)
    assert low == pytest.approx(losses.mean() - above * error, abs=.15 * error) and high == pytest.approx(losses.mean() - below * error, abs=.4 * error)


def test_influences_are_those_of_leaving_one_out():
    for metric in ('r2', 'mae', 'rmse'):
        [table] = unit_tables(METRICS[metric], draw_line(np.random.default_rng(0), 200, 'normal'))
        totals, reduce = table.sum(0), METRICS[metric].reduce
        left_out = np.array([reduce(totals) - reduce(totals - row) for row in table.toarray()])
        apart = _influences(METRICS[metric], table) - (left_out - left_out.mean())
        assert abs(apart).max() <= .05 * abs(left_out).max() # of second order in 1 / n


# grades

def draw_grades(rng, n, p, far):
    "Five grades; a wrong one is one step off, with chance `far` each a further step."
    y = rng.integers(5, size=n)
    steps = rng.geometric(1 - far, n) * rng.choice([-1, 1], n) * (rng.random(n) >= p)
    return predictions(y, np.clip(y + steps, 0, 4))


@pytest.mark.parametrize('metric', ['weighted_kappa', 'mean_absolute_error'])
@pytest.mark.parametrize('n, p, far', [(30, .99, .1), (100, .95, .5), (100, .99, .5), (300, .95, .5), (100, .5, .5)])
def test_grades_with_few_errors(metric, n, p, far, runs=200):
    truth = mean_of(metric, draw_grades(np.random.default_rng(9), 400_000, p, far))
    share, _ = covered(lambda rng: draw_grades(rng, n, p, far), metric, truth, runs)
    assert is_enough(share, runs) and (n * (1 - p) < 20 or is_not_too_much(share, runs))


def test_thirty_right_grades_prove_little():
    y = np.arange(30) % 5
    kappa, error = (score(predictions(y, y), metric) for metric in ('weighted_kappa', 'mean_absolute_error'))
    assert kappa.high == 1 and .7 < kappa.low < .85 and error.low == pytest.approx(0, abs=1e-12) and .3 < error.high < .6


# means over classes

def draw_tail(rng, n, n_classes, hard):
    "Classes of size 1, 1/2, 1/3, …; the rarer, the harder."
    shares = 1 / np.arange(1, n_classes + 1)
    shares /= shares.sum()
    recalls = np.linspace(.95, .95 - hard, n_classes)
    y, other = rng.choice(n_classes, (2, n), p=shares)
    wrong = np.where(other == y, (y + 1) % n_classes, other)
    pred = np.where(rng.random(n) < recalls[y], y, wrong)
    return predictions(y, pred, meta=dict(classes=tuple(map(str, range(n_classes)))))


@pytest.mark.parametrize('metric, n', [('balanced_accuracy', 100), ('macro_f1', 100), ('macro_f1', 300)])
def test_a_long_tail_of_classes(metric, n, runs=150):
    truth = mean_of(metric, draw_tail(np.random.default_rng(9), 300_000, 20, .5))
    share, _ = covered(lambda rng: draw_tail(rng, n, 20, .5), metric, truth, runs)
    assert is_enough(share, runs) and is_not_too_much(share, runs)


def test_absent_classes_are_named_and_bounded(runs=60):
    rng = np.random.default_rng(0)
    for metric in ('balanced_accuracy', 'macro_f1'):
        truth = mean_of(metric, draw_tail(np.random.default_rng(9), 300_000, 50, .5))
        for i in range(runs // 10):
            p = draw_tail(rng, 100, 50, .5)
            low, high = all_class_bounds(p, METRICS[metric])
            assert low <= truth <= high
        [sentence] = [s for s in cautions(p, metric) if 'Over all' in s]
        assert f'{50 - len(np.unique(p.y))} of 50 classes' in sentence and f'{high:.3f}' in sentence
    assert not any('Over all' in s for s in cautions(p, 'accuracy'))


# lists and spans

def draw_users(rng, n, skill, k=10):
    "Lists of ten for users with one to five items to be found."
    wanted = rng.integers(1, 6, n)
    able = rng.beta(2 * skill, 2 - 2 * skill, n)
    order = rng.random((n, k)).argsort(1)
    hits = (order < rng.binomial(wanted, able)[:, None]).astype(np.float32)
    return predictions(wanted, np.tile(np.arange(k), (n, 1)), scores=hits)


@pytest.mark.parametrize('metric', ['ndcg@10', 'recall@10'])
@pytest.mark.parametrize('n, skill', [(100, .1), (100, .5), (100, .8), (30, .3)])
def test_lists(metric, n, skill, runs=250):
    truth = mean_of(metric, draw_users(np.random.default_rng(9), 300_000, skill))
    share, _ = covered(lambda rng: draw_users(rng, n, skill), metric, truth, runs)
    assert is_enough(share, runs) and (n * (1 - truth) < 20 or is_not_too_much(share, runs))


def draw_sentences(rng, n, p, icc):
    "Sentences with about two entities of one word; each is found with the chance of its sentence."
    n_entities = rng.poisson(2, n)
    sentence = np.repeat(np.arange(n), 2 * n_entities + 1)
    place = np.concatenate([np.arange(m) for m in 2 * n_entities + 1])
    k = (1 - icc) / icc
    able = rng.beta(p * k, (1 - p) * k, n)[sentence]
    is_entity = place % 2 == 1
    missed = is_entity & (rng.random(len(able)) >= able)
    invented = ~is_entity & (rng.random(len(able)) < .3 * (1 - able))
    y = is_entity.astype(int)
    return predictions(y, np.where(missed | invented, 1 - y, y), groups=sentence, meta=dict(kind='tagging', classes=('O', 'B-A')))


@pytest.mark.parametrize('n, p, icc', [(100, .7, .05), (100, .7, .4), (200, .9, .05)])
def test_spans(n, p, icc, runs=250):
    truth = mean_of('span_f1', draw_sentences(np.random.default_rng(9), 100_000, p, icc))
    share, _ = covered(lambda rng: draw_sentences(rng, n, p, icc), 'span_f1', truth, runs)
    assert is_enough(share, runs) and is_not_too_much(share, runs)
