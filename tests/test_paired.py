"""Two or more models on the same examples: do tests keep their level and intervals the truth, by example and by group, alone and as the best of many?

Shares that are simulated get two standard errors of simulation. Sizes are small here; benchmarks/coverage.py has more cells.
"""
from dataclasses import replace
import numpy as np, pytest
from scipy import optimize, stats
from test_coverage import equal_models, holds, slack
from upgradeability.comparisons import _best_share, _bonett_price, _mcnemar, _shrunk, compare, compare_with, effective_groups, gain, joint_bootstrap, leader_optimism, relative_gain
from upgradeability.intervals import Score, score
from upgradeability.metrics import Metric, Predictions, mean_stats, ratio


def excludes_zero(s): return s.low > 0 or s.high < 0


def answers(right, y=None, **more):
    "Predictions that are right where `right` (n,) says so, and else name the next of four classes."
    y = np.zeros(len(right), int) if y is None else y
    return Predictions(np.arange(len(y)), y, np.where(right, y, (y + 1) % 4), **more)


# Right or wrong

def splits(n, discordant):
    "All (lost, won) of n examples and their chances if both models are equal and a share is discordant."
    total = np.arange(n + 1)
    b, c = (x.ravel() for x in np.meshgrid(total, total))
    b, c = b[b + c <= n], c[b + c <= n]
    chance = stats.binom.pmf(b + c, n, discordant) * stats.binom.pmf(b, b + c, .5)
    return (x[chance > 1e-9] for x in (b, c, chance))


@pytest.mark.parametrize('n, discordant', [(30, .2), (100, .1), (100, .3), (300, .1)])
def test_mid_p_keeps_its_level_better_than_the_exact_test_and_agrees_with_the_interval(n, discordant):
    b, c, chance = splits(n, discordant)
    p = np.array([_mcnemar(*split) for split in zip(b, c)])
    exact = np.minimum(1, 2 * stats.binom.cdf(np.minimum(b, c), b + c, .5))
    ends = np.array([_bonett_price((y - x) / n, (x + y) / n, n, .95) for x, y in zip(b, c)])
    is_out = (ends[:, 0] > 0) | (ends[:, 1] < 0)
    assert chance @ (exact <= .05) < chance @ (p <= .05) <= .0525 # Fagerland et al. (2013): mid-p seldom exceeds the level, and by little
    assert chance @ ((p <= .05) == is_out) >= .95


# Other metrics

def profiles(rng, n, lift=0.):
    "Two models that are good at different classes; their balanced accuracies differ by `lift`."
    y = rng.integers(4, size=n)
    skill = np.array([.9, .9, .6, .6])
    return [answers(rng.random(n) < s[y], y) for s in (skill, skill[::-1] + lift)]


@pytest.mark.parametrize('n, lift, low, high', [(150, 0, .02, .05), (300, .08, .5, 1)])
def test_balanced_accuracy_of_models_that_are_good_at_different_classes(n, lift, low, high, runs=300):
    "Unstudentised swaps raise .003 false alarms here, and find the difference in half as many cases."
    rng, found = np.random.default_rng(n), []
    for i in range(runs): found.append(compare(*profiles(rng, n, lift), 'balanced_accuracy', n_boot=399, seed=i))
    alarms = np.array([f.p_value <= .05 for f in found])
    assert low - slack(low, runs) <= alarms.mean() <= high + slack(.05, runs)
    assert np.mean([holds(f.difference, lift) for f in found]) >= .93 - slack(.93, runs)
    assert np.mean(alarms == [excludes_zero(f.difference) for f in found]) >= .95


def sure_and_careful(rng, n, wrong=.1, sure=.99):
    "A model that is too sure of itself and one that is right as often and less sure, with the same expected log-loss."
    expected = -(1 - wrong) * np.log(sure) - wrong * np.log(1 - sure)
    careful = optimize.brentq(lambda c: -(1 - wrong) * np.log(c) - wrong * np.log(1 - c) - expected, .01, 1 - wrong)
    hard, y = rng.normal(size=n), rng.integers(2, size=n)
    for confidence in (sure, careful):
        right = np.sqrt(.7) * hard + np.sqrt(.3) * rng.normal(size=n) < stats.norm.ppf(1 - wrong)
        of_true = np.where(right, confidence, 1 - confidence)
        scores = np.where(np.arange(2) == y[:, None], of_true[:, None], 1 - of_true[:, None])
        yield Predictions(np.arange(n), y, scores.argmax(1), scores)


@pytest.mark.parametrize('n', [30, 100])
def test_log_loss_of_an_overconfident_model(n, runs=400):
    "Swaps alone raise .15 false alarms at n = 30."
    rng, found = np.random.default_rng(n), []
    for i in range(runs): found.append(compare(*sure_and_careful(rng, n), 'log_loss', n_boot=399, seed=i))
    alarms = np.array([f.p_value <= .05 for f in found])
    assert alarms.mean() <= .05 + slack(.05, runs)
    assert np.mean(alarms == [excludes_zero(f.difference) for f in found]) >= .95


def test_power_on_losses_is_that_of_the_paired_t_test(runs=300, n=100):
    rng, ours, theirs = np.random.default_rng(0), [], []
    for i in range(runs):
        y, logit = np.zeros(n, int), rng.normal(1.5, 1, size=n)
        pair = []
        for shift in (0, .25):
            p = 1 / (1 + np.exp(-logit - shift - rng.normal(size=n)))
            pair.append(Predictions(np.arange(n), y, (p < .5).astype(int), np.column_stack([p, 1 - p])))
        losses = [-np.log(p.scores[:, 0]) for p in pair]
        ours.append(compare(*pair, 'log_loss', n_boot=399, seed=i).p_value <= .05)
        theirs.append(stats.ttest_rel(*losses).pvalue <= .05)
    assert np.mean(theirs) > .25 and np.mean(ours) >= np.mean(theirs) - .05


def by_user(value): return Metric('by user', mean_stats(lambda p: value[p.meta['model']]), ratio, fraction=True)


@pytest.mark.parametrize('n, share', [(60, .5), (200, .1), (1000, .3)])
def test_gains_of_one_score_per_user(n, share, runs=500):
    "The score of a share of the users changes, by any amount; the interval is that of the paired t, and no wider."
    rng, covered, widths = np.random.default_rng(n), [], []
    first, second = (Predictions(np.arange(n), np.zeros(n, int), np.zeros(n, int), meta=dict(model=k)) for k in (0, 1))
    for i in range(runs):
        before = rng.beta(1, 2, size=n) * (rng.random(n) < .6)
        after = np.where(rng.random(n) < share, np.clip(before + rng.normal(.05, .2, size=n), 0, 1), before)
        g = gain(second, first, by_user([before, after]), n_boot=399, seed=i)
        known = stats.ttest_1samp(after - before, 0).confidence_interval()
        widths.append((g.high - g.low) / (known.high - known.low))
        covered.append((g, after - before))
    truth = true_gain(share)
    share_covered = np.mean([holds(g, truth) for g, _ in covered])
    assert .92 - slack(.92, runs) <= share_covered <= .98 and .95 < np.mean(widths) < 1.05


def true_gain(share, n=2_000_000):
    rng = np.random.default_rng(1)
    before = rng.beta(1, 2, size=n) * (rng.random(n) < .6)
    return share * (np.clip(before + rng.normal(.05, .2, size=n), 0, 1) - before).mean()


# Groups

def frames(rng, groups, rows, icc, p=.8):
    "Two equal models on videos of some frames; each is good or bad at a video by chance."
    k, group = (1 - icc) / icc, np.repeat(np.arange(groups), rows)
    for _ in range(2):
        skill = rng.beta(p * k, (1 - p) * k, size=groups)
        yield answers(rng.random(len(group)) < skill[group], groups=group)


@pytest.mark.parametrize('groups, icc', [(10, .05), (10, .8), (40, .3), (200, .8)])
def test_groups_are_the_units_of_a_comparison(groups, icc, runs=300):
    rng, found, naive = np.random.default_rng(groups), [], []
    for i in range(runs):
        pair = list(frames(rng, groups, 10, icc))
        found.append(compare(*pair, n_boot=399, seed=i))
        naive.append(compare(*(replace(p, groups=None) for p in pair)).p_value <= .05)
    alarms = np.array([f.p_value <= .05 for f in found])
    assert alarms.mean() <= .05 + slack(.05, runs) and (icc < .2 or np.mean(naive) > .15)
    assert .93 - slack(.93, runs) <= np.mean([holds(f.difference, 0) for f in found])
    assert np.mean(alarms == [excludes_zero(f.difference) for f in found]) >= .95


@pytest.mark.parametrize('rows', [[10] * 4, [200, 5, 5, 5, 5, 5, 5, 5, 5, 5]])
def test_too_few_groups_give_no_interval(rows):
    rng = np.random.default_rng(0)
    a, b = frames(rng, len(rows), rows, .3)
    found, same = compare(a, b, margin=.1), compare(a, a, margin=.1)
    assert effective_groups(a) < 5
    for s in (found.difference, gain(b, a, 'macro_f1'), relative_gain(b, a, 'accuracy')): assert np.isfinite(s.value) and np.isnan(s.low) and np.isnan(s.high)
    assert np.isnan(found.p_value) and found.verdict == 'cannot tell' and same.p_value == 1


def test_flips_and_figures_do_not_depend_on_groups():
    rng = np.random.default_rng(0)
    a, b = frames(rng, 30, 7, .3)
    grouped, rows = compare(a, b), compare(*(replace(p, groups=None) for p in (a, b)))
    assert grouped.difference.value == rows.difference.value and (grouped.n_units, grouped.n_tested, rows.n_units) == (30, 210, 210)
    assert (grouped.negative_flips, grouped.positive_flips) == (rows.negative_flips, rows.positive_flips) and grouped.negative_share == rows.negative_share
    alone = [replace(p, groups=p.ids) for p in (a, b)]
    assert compare(*alone).p_value == rows.p_value # a group of one row is that row
    words = [replace(p, groups=np.arange(210) // 70 * 1., unit=np.arange(210) // 7) for p in (a, b)]
    assert compare(*words).n_tested == 30


# Several candidates

def candidates(rng, n, k, lift=0.):
    "A model in use and k others whose accuracy differs by `lift`; what is hard for one is hard for all."
    y, hard = rng.integers(3, size=n), rng.normal(size=n)
    in_use = stats.norm.cdf(1 / np.sqrt(2))
    for accuracy in (in_use, *[in_use + lift] * k):
        right = rng.normal(size=n) + hard > -np.sqrt(2) * stats.norm.ppf(accuracy)
        yield Predictions(np.arange(n), y, np.where(right, y, (y + 1) % 3))


def joint(models, **options):
    incumbent, *others = models
    return compare_with(incumbent, dict(enumerate(others)), **options)


@pytest.mark.parametrize('k, n, runs', [(1, 450, 300), (4, 450, 300), (9, 450, 200), (4, 2000, 150), (19, 2000, 40)])
def test_no_candidate_of_many_equal_ones_is_called_better(k, n, runs):
    rng, alarms, agree = np.random.default_rng(k), [], []
    for i in range(runs):
        df = joint(candidates(rng, n, k), seed=i)
        alarms.append((df.p <= .05).any())
        agree.append(((df.p <= .05) == ((df.low > 0) | (df.high < 0))).mean())
    assert np.mean(alarms) <= .05 + slack(.05, runs) and np.mean(agree) >= .95


@pytest.mark.parametrize('k, n, runs', [(4, 450, 300), (9, 2000, 80)])
def test_go_at_the_margin_is_as_rare_as_said(k, n, runs):
    "All candidates lose exactly the margin, so every go is wrong."
    rng = np.random.default_rng(k)
    go = [(joint(candidates(rng, n, k, -.02), seed=i, margin=.02).verdict == 'go').any() for i in range(runs)]
    assert np.mean(go) <= .025 + slack(.025, runs)


def test_one_candidate_is_compared_as_ever_and_a_copy_costs_nothing():
    rng = np.random.default_rng(0)
    incumbent, one, two = candidates(rng, 400, 2, .05)
    alone, [row] = compare(incumbent, one, margin=.01), compare_with(incumbent, dict(one=one), margin=.01).itertuples()
    assert (row.low, row.high, row.p, row.verdict) == (alone.difference.low, alone.difference.high, alone.p_value, alone.verdict)
    copies = compare_with(incumbent, {i: one for i in range(10)})
    assert np.allclose(copies.p, alone.p_value, atol=.004) and np.allclose(copies.low, alone.difference.low, atol=.002)
    several = compare_with(incumbent, dict(one=one, two=two, same=incumbent)).set_index('candidate')
    assert several.low['one'] < alone.difference.low and several.p['one'] > alone.p_value and several.p['same'] == 1
    assert compare_with(incumbent, dict(one=one, two=two), 'macro_f1').low.notna().all()


def test_dunnetts_constant_for_equally_correlated_differences():
    "Four differences with correlation 1/2: the two-sided 5 % point is 2.44 (Dunnett 1964, infinite degrees of freedom)."
    rng = np.random.default_rng(0)
    units = rng.normal(size=(5, 20_000))
    metric = Metric('mean', mean_stats(lambda p: units[p.meta['model']]), ratio)
    models = [Predictions(np.arange(20_000), np.zeros(20_000, int), np.zeros(20_000, int), meta=dict(model=k)) for k in range(5)]
    from upgradeability.comparisons import _largest_by_chance
    from upgradeability.comparisons import _pair
    largest = _largest_by_chance([_pair(metric, models[0], m) for m in models[1:]], 200_000, 0)
    assert abs(np.quantile(largest, .95) - 2.44) < .02


# Who is best

def skilled(rng, n, accuracies):
    y, hard = np.zeros(n, int), rng.normal(size=n)
    return [answers(rng.normal(size=n) + hard > -np.sqrt(2) * stats.norm.ppf(a), y) for a in accuracies]


@pytest.mark.parametrize('spread', [.005, .01, .02])
def test_the_chance_of_being_best_is_not_said_too_high(spread, k=10, n=1000, runs=60):
    rng, said, plain, is_best, luck, corrected = np.random.default_rng(1), [], [], [], [], []
    for i in range(runs):
        accuracies = .8 + spread * rng.normal(size=k)
        models = skilled(rng, n, accuracies)
        values = np.array([(p.y == p.pred).mean() for p in models])
        draws, leader = joint_bootstrap(models, 'accuracy', n_boot=300, seed=i), values.argmax()
        centre, skills = _shrunk(values, draws)
        said.append(_best_share(skills)[leader])
        plain.append(_best_share(draws)[leader])
        is_best.append(leader == accuracies.argmax())
        luck.append(values[leader] - accuracies[leader])
        corrected.append(leader_optimism(dict(enumerate(models)), 'accuracy', n_boot=300, seed=i))
    assert np.mean(said) < np.mean(plain) and abs(np.mean(said) - np.mean(is_best)) <= 2 * np.std(is_best) / np.sqrt(runs) + .02
    assert abs(np.mean(luck) - np.mean(corrected)) <= 2 * np.std(luck) / np.sqrt(runs) + .002


def test_the_leader_of_twenty_equal_models_is_corrected(runs=60, n=450):
    rng, plain, shifted = np.random.default_rng(0), [], []
    truth = stats.norm.cdf(1 / np.sqrt(2))
    for i in range(runs):
        models = equal_models(rng, n, 20)
        leader = max((score(p, 'accuracy') for p in models.values()), key=float)
        by = leader_optimism(models, n_boot=300, seed=i)
        plain.append(leader)
        shifted.append(Score('', leader.value - by, leader.low - by, leader.high - by, .95, n))
    errors = [np.mean([s.value for s in found]) - truth for found in (plain, shifted)]
    assert errors[0] > .015 and abs(errors[1]) < errors[0] / 3
    assert np.mean([holds(s, truth) for s in shifted]) >= .92 - slack(.92, runs) > np.mean([holds(s, truth) for s in plain]) - .2


def test_one_model_or_equal_ones_have_no_optimism():
    a = next(candidates(np.random.default_rng(0), 200, 1))
    assert leader_optimism(dict(a=a)) == leader_optimism(dict(a=a, b=a)) == 0


def test_classes_are_tested_by_group_where_groups_are_declared():
    "Ten copies of each example, said to belong together, make no class look more broken; said to be independent, they do."
    from upgradeability.comparisons import class_flips
    rng = np.random.default_rng(4)
    y, copies = np.arange(60) % 3, np.repeat(np.arange(60), 10)
    a, b = ((y + (rng.random(60) < share)) % 3 for share in (.15, .35))
    def flips(rows, groups): return class_flips(*(Predictions(np.arange(len(rows)), y[rows], pred[rows], groups=groups) for pred in (a, b))).set_index('class')
    alone, together, apart = flips(np.arange(60), None), flips(copies, copies), flips(copies, None)
    assert (together.negative == 10 * alone.negative).all() and (together.p >= .5 * alone.p).all()
    assert (apart.p < together.p).any() and apart.p.min() < 1e-3 < together.p.min()
