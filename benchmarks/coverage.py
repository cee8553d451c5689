"""How often intervals include the truth, and tests claim what is not so: simulations against known answers.

python benchmarks/coverage.py [--cells REGEX] [--runs 400] [--out benchmarks/coverage.csv]

Each simulation has a seed of its own, so its numbers do not depend on which others are run. A row of the table is one
question: how often the interval covers the truth (or how often equal models are said to differ), the Monte-Carlo error of
that share, the mean width, the bounds it has to keep, whether it does (two Monte-Carlo errors are allowed), how often the
figure came with a warning, and how often an interval was given at all. Functions that a version of the package does not
have are replaced by what it would have said instead.
"""
import argparse, importlib, inspect, re, time, warnings, zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np, pandas as pd
from scipy import stats

from upgradeability import curves, intervals
from upgradeability.comparisons import compare, compare_all, gain, rank_groups
from upgradeability.intervals import score, upgradeability
from upgradeability.metrics import Predictions, find_metric

BOOT = 500 # bootstrap resamples and permutations
ALPHA = .05
CELLS = {}

# ---- what a cell is

@dataclass(frozen=True)
class Said:
    "What one run says."
    hit: bool # whether the interval includes the truth, or the test rejects
    width: float = np.nan # of the interval
    warned: bool = False # whether a warning comes with it
    claim: float = np.nan # the probability that was said, where calibration is the question

@dataclass(frozen=True)
class Aim:
    "What a share has to be."
    truth: float|Callable = np.nan # the true figure, or a function that computes it when it is needed
    low: float = np.nan # lowest allowed share; NaN: no bound
    high: float = np.nan # highest allowed share
    around: float = np.nan # allowed distance to the mean claim

@dataclass(frozen=True)
class Cell:
    "A simulation: data of n units, and what is said of them."
    name: str # area, figure, conditions
    n: int # number of independent units
    trial: Callable # (rng, seed of the bootstrap) -> {question: Said}
    aims: dict # question -> Aim
    cost: int = 1 # how many times fewer runs it gets

def value_of(truth): return truth() if callable(truth) else truth

def cell(name, n, trial, cost=1, **aims):
    CELLS[name] = Cell(name, n, trial, {k.replace('_', ' '): v for k, v in aims.items()}, cost)

def later(module, name):
    "A function of the package, or None in versions that do not have it."
    try: return getattr(importlib.import_module(f'upgradeability.{module}'), name, None)
    except ImportError: return None

def warned(p, metric):
    "Whether a figure comes with a warning."
    cautions = later('intervals', 'cautions')
    if cautions is not None: return bool(cautions(p, find_metric(metric)))
    return intervals.few_units(p) is not None

def covers(s, truth):
    "Whether an interval includes the truth; NaN where none is given."
    if np.isnan(s.low) or np.isnan(s.high): return np.nan
    return bool(s.low <= truth + 1e-9 and truth - 1e-9 <= s.high)

def width(s): return s.high - s.low

def population(metric, chances, **more):
    "A function that computes the figure of a population with joint chances (C, C) of truth and answer."
    @lru_cache
    def figure():
        m = find_metric(metric)
        sums = m.unit_stats(in_proportion(chances, **more)).sum(0)
        return float(m.reduce(sums))
    return figure

def coverage_aim(truth, n, errors=0):
    "At least 92 % from 100 units on, at most 98 % where 20 errors are expected."
    return Aim(truth, .92 if n >= 100 else np.nan, .98 if errors >= 20 else np.nan)

def score_cell(name, n, draw, metric, truth, errors=0, cost=1, least=None):
    "A cell about the interval of `score`; draw(rng) gives predictions."
    def trial(rng, seed):
        p = draw(rng)
        s = score(p, metric, n_boot=BOOT, seed=seed)
        return {'covered': Said(covers(s, value_of(truth)), width(s), warned(p, metric))}
    aim = coverage_aim(truth, n, errors)
    cell(name, n, trial, cost, covered=aim if least is None else replace(aim, low=least))

# ---- data

def right_or_wrong(right, groups=None):
    "Predictions of two classes, of which some are right."
    right = np.asarray(right, bool).ravel()
    y = np.arange(len(right)) % 2
    return Predictions(np.arange(len(right)), y, np.where(right, y, 1 - y), groups=groups)

def from_chances(rng, n, chances, **more):
    "n pairs (truth, answer) with joint chances (C, C), as predictions."
    code = rng.choice(chances.size, size=n, p=chances.ravel())
    return Predictions(np.arange(n), code // len(chances), code % len(chances), **more)

def in_proportion(chances, n=200_000, **more):
    "The population with joint chances (C, C)."
    counts = np.round(chances.ravel() * n).astype(int)
    code = np.repeat(np.arange(chances.size), counts)
    return Predictions(np.arange(len(code)), code // len(chances), code % len(chances), **more)

# ---- score: accuracy

def accurate(rng, n, p): return right_or_wrong(rng.random(n) < p)

for n in (30, 100, 1000):
    for p in (.5, .9, .99):
        draw = partial(accurate, n=n, p=p)
        score_cell(f'score accuracy n={n} p={p}', n, draw, 'accuracy', p, n * (1 - p), least=.92)

# ---- score: losses of a confident model

Z = np.linspace(-8, 8, 20_001)
WEIGHT = stats.norm.pdf(Z) / stats.norm.pdf(Z).sum()
EPS = np.finfo(np.float32).eps

def confident(rng, n, mean, spread, times):
    "Two classes: logits N(mean, spread) are true, and the model says `times` as much."
    logit = mean + spread * rng.normal(size=n)
    y = (rng.random(n) > 1 / (1 + np.exp(-logit))).astype(int)
    said = 1 / (1 + np.exp(-times * logit))
    scores = np.column_stack([said, 1 - said]).astype(np.float32)
    return Predictions(np.arange(n), y, scores.argmax(1), scores)

def expected_loss(mean, spread, times):
    logit = mean + spread * Z
    chance = 1 / (1 + np.exp(-logit))
    said = np.clip(1 / (1 + np.exp(-times * logit)), EPS, 1 - EPS)
    losses = chance * -np.log(said) - (1 - chance) * np.log(1 - said)
    return float(WEIGHT @ losses)

for mean, times, how in ((3, 1, 'calibrated'), (3, 3, 'overconfident'), (4.5, 1, 'confident')):
    errors = WEIGHT @ (1 / (1 + np.exp(mean + Z)))
    for n in (30, 100, 1000):
        draw = partial(confident, n=n, mean=mean, spread=1, times=times)
        truth = expected_loss(mean, 1, times)
        score_cell(f'score log_loss {how} n={n}', n, draw, 'log_loss', truth, n * errors)

# ---- score: grades

def grade_chances(exact):
    "Five grades; what is not exact is one grade off."
    chances = np.eye(5) * exact / 5
    for g in range(5):
        others = [other for other in (g - 1, g + 1) if 0 <= other < 5]
        chances[g, others] = (1 - exact) / 5 / len(others)
    return chances

GRADES = dict(meta=dict(classes=tuple('12345'), kind='grades'))
for metric in ('weighted_kappa', 'mean_absolute_error'):
    for exact in (.6, .9, .99):
        chances = grade_chances(exact)
        truth = population(metric, chances, **GRADES)
        for n in (30, 100, 1000):
            draw = partial(from_chances, n=n, chances=chances, **GRADES)
            score_cell(f'score {metric} exact={exact} n={n}', n, draw, metric, truth, n * (1 - exact), cost=2)

# ---- score: means over classes

def class_chances(sizes, recall):
    "Classes of some sizes; errors go to the other classes by their size."
    sizes = np.asarray(sizes) / np.sum(sizes)
    others = sizes * (1 - np.eye(len(sizes)))
    others /= others.sum(1, keepdims=True)
    return sizes[:, None] * (np.eye(len(sizes)) * recall + others * (1 - recall))

TAILS = {'three equal classes': np.ones(3), 'ten classes, long tail': .6**np.arange(10)}
for metric in ('macro_f1', 'balanced_accuracy'):
    for tail, sizes in TAILS.items():
        chances = class_chances(sizes, .8)
        truth = population(metric, chances)
        for n in (100, 300, 1000):
            draw = partial(from_chances, n=n, chances=chances)
            score_cell(f'score {metric} {tail} n={n}', n, draw, metric, truth, n * .2)

# ---- score: lists of items

DISCOUNTS = 1 / np.log2(np.arange(2, 12))

def user_lists(rng, n, to_find, mean, spread):
    "Lists of ten: each user has an own chance of a hit, which falls with the place. One item to find: at most one hit."
    ability = rng.beta(mean * spread, (1 - mean) * spread, size=(n, 1))
    if to_find == 1:
        place = rng.integers(10, size=n)
        hits = (np.arange(10) == place[:, None]) & (rng.random((n, 1)) < ability)
    else: hits = rng.random((n, 10)) < ability * np.linspace(1.2, .8, 10)
    return Predictions(np.arange(n), np.full(n, to_find), np.tile(np.arange(10), (n, 1)), hits.astype(np.float32))

def hit_chances(to_find, mean, spread):
    "The chance of a hit at each place, averaged over users; for an able user it is capped at 1."
    if to_find == 1: return np.full(10, mean / 10)
    middles = (np.arange(20_000) + .5) / 20_000
    ability = stats.beta.ppf(middles, mean * spread, (1 - mean) * spread)
    return np.minimum(1, ability[:, None] * np.linspace(1.2, .8, 10)).mean(0)

def list_truth(metric, to_find, mean, spread):
    chance = hit_chances(to_find, mean, spread)
    if metric == 'recall@10': return chance.sum() / to_find
    return chance @ DISCOUNTS / DISCOUNTS[:to_find].sum()

for metric in ('ndcg@10', 'recall@10'):
    for to_find, mean, spread in ((1, .3, 3), (1, .05, 20), (10, .3, 5), (10, .75, 20)):
        truth = list_truth(metric, to_find, mean, spread)
        for n in (30, 100, 1000):
            name = f'score {metric} to find={to_find} mean={mean} n={n}'
            draw = partial(user_lists, n=n, to_find=to_find, mean=mean, spread=spread)
            score_cell(name, n, draw, metric, truth, n * min(mean, 1 - mean))

# ---- score: entities

def sentences(rng, n, found, invented, words=12):
    "Sentences with one-word entities, of which a share that varies between sentences is found."
    y = (rng.random((n, words)) < .2).astype(int)
    ability = rng.beta(found * 6, (1 - found) * 6, size=(n, 1))
    chance = np.where(y == 1, ability, invented)
    pred = (rng.random(y.shape) < chance).astype(int)
    sentence = np.repeat(np.arange(n), words)
    about = dict(classes=('O', 'B-X'), kind='tagging')
    return Predictions(np.arange(n * words), y.ravel(), pred.ravel(), groups=sentence, meta=about)

for found, invented in ((.6, .05), (.95, .005)):
    truth = 2 * .2 * found / (.2 + .2 * found + .8 * invented)
    for n in (30, 100, 1000):
        draw = partial(sentences, n=n, found=found, invented=invented)
        score_cell(f'score span_f1 found={found} n={n}', n, draw, 'span_f1', truth, n * 2.4 * (1 - found))

# ---- score: numbers

def numbers(rng, n, tails):
    "Targets N(0, 1) = answer + error, R² of .75; errors are normal or have heavy tails."
    answer = np.sqrt(.75) * rng.normal(size=n)
    error = rng.normal(size=n) if tails == 'normal' else rng.standard_t(5, size=n) * np.sqrt(3 / 5)
    return Predictions(np.arange(n), answer + .5 * error, answer, meta=dict(kind='regression'))

for tails in ('normal', 'heavy-tailed'):
    for n in (30, 100, 1000):
        score_cell(f'score r2 {tails} errors n={n}', n, partial(numbers, n=n, tails=tails), 'r2', .75, n)

# ---- groups

def group_sizes(rng, groups, how):
    if how == 'equal': return np.full(groups, 20)
    if how == 'unequal': return np.maximum(1, rng.lognormal(2.5, 1, groups).round().astype(int))
    return np.r_[9 * 20 * (groups - 1), np.full(groups - 1, 20)] # one group has 90 % of the rows

def abilities(rng, groups, p, icc):
    if icc == 0: return np.full(groups, p)
    k = (1 - icc) / icc
    return rng.beta(p * k, (1 - p) * k, groups)

def grouped(rng, groups, p, icc, how, models=1):
    "Right or wrong by row, (models, rows), and the group of each row; abilities vary by group and model."
    sizes = group_sizes(rng, groups, how)
    chance = np.stack([np.repeat(abilities(rng, groups, p, icc), sizes) for _ in range(models)])
    return rng.random(chance.shape) < chance, np.repeat(np.arange(groups), sizes)

def one_grouped(rng, **about):
    right, groups = grouped(rng, **about)
    return right_or_wrong(right, groups)

def bound_of_groups(groups, how):
    "At least 92 % from ten effective groups on; of unequal sizes about a third of the groups are effective."
    effective = groups if how == 'equal' else groups / 2.7
    return .92 if effective >= 10 else np.nan

for icc in (0, .1, .5):
    for groups in (10, 20, 50, 200):
        for how in ('equal', 'unequal'):
            name = f'groups accuracy icc={icc} groups={groups} {how}'
            draw = partial(one_grouped, groups=groups, p=.8, icc=icc, how=how)
            score_cell(name, groups, draw, 'accuracy', .8, least=bound_of_groups(groups, how))

draw = partial(one_grouped, groups=20, p=.8, icc=.3, how='one')
score_cell('groups accuracy icc=0.3 groups=20 one has 90 %', 20, draw, 'accuracy', .8, least=np.nan)

# ---- two models

def rejected(found): return found.p_value <= ALPHA

def t_rejects(metric, a, b):
    "Whether the paired t-test on the units' own values rejects; NaN where a unit has no own value."
    metric = find_metric(metric)
    tables = intervals.unit_tables(metric, a, b)
    means = [intervals._unit_means(metric, t) for t in tables]
    if means[0] is None: return np.nan
    difference = means[1] - means[0]
    return bool(difference.any()) and stats.ttest_1samp(difference, 0).pvalue <= ALPHA

def pair_cell(name, n, draw, metric, truth, errors=0, power=False, cost=1, has_t=True):
    "A cell about the paired difference: its interval, its test, whether both agree, and the paired t-test beside it."
    def trial(rng, seed):
        a, b = draw(rng)
        found = compare(a, b, metric, n_boot=BOOT, seed=seed)
        s, is_alarm = gain(b, a, metric, n_boot=BOOT, seed=seed), rejected(found)
        excludes = covers(found.difference, 0) == 0
        weak = warned(a, metric)
        said = {'gain covered': Said(covers(s, truth), width(s), weak)}
        said['power' if power else 'type I'] = Said(is_alarm, warned=weak)
        said['interval and test agree'] = Said(is_alarm == excludes)
        if has_t: said['power of paired t' if power else 'type I of paired t'] = Said(t_rejects(metric, a, b))
        return said
    high = np.nan if power else ALPHA
    aims = {'gain covered': coverage_aim(truth, n, errors), 'interval and test agree': Aim(low=.95)}
    aims |= {'power' if power else 'type I': Aim(truth, high=high)}
    if has_t: aims |= {'power of paired t' if power else 'type I of paired t': Aim(truth)}
    CELLS[name] = Cell(name, n, trial, aims, cost)

def two_models(rng, n, p, lift):
    "Two models whose errors are correlated through the difficulty of the examples."
    hard = rng.random(n)
    chance = np.minimum(1, np.stack([np.full(n, p), np.full(n, p + lift)]))
    noise = np.where(rng.random((2, n)) < .6, hard, rng.random((2, n))) # uniform, shared in six of ten
    return [right_or_wrong(u < c) for u, c in zip(noise, chance)]

for n in (30, 100, 1000):
    for p in (.8, .98):
        draw = partial(two_models, n=n, p=p, lift=0)
        pair_cell(f'pair accuracy p={p} n={n}', n, draw, 'accuracy', 0, n * (1 - p))
for n, p, lift in ((100, .7, .12), (1000, .8, .03)):
    draw = partial(two_models, n=n, p=p, lift=lift)
    pair_cell(f'pair accuracy p={p} lift={lift} n={n}', n, draw, 'accuracy', lift, n * (1 - p), power=True)

def two_lists(rng, n, lift):
    "Two lists per user, ten items to find; abilities of a user's lists are correlated."
    ability = rng.beta(3, 4, size=(n, 1))
    models = []
    for more in (0, lift):
        own = np.clip(ability + more + .1 * rng.normal(size=(n, 1)), 0, 1)
        hits = (rng.random((n, 10)) < own).astype(np.float32)
        models.append(Predictions(np.arange(n), np.full(n, 10), np.tile(np.arange(10), (n, 1)), hits))
    return models

for n in (30, 100, 1000): pair_cell(f'pair ndcg@10 n={n}', n, partial(two_lists, n=n, lift=0), 'ndcg@10', 0, n * .4)

def two_profiles(rng, n, lift=0):
    "One model knows the common class, the other the rare one: equal balanced accuracy."
    y = (rng.random(n) < .2).astype(int)
    first = np.where(y == 0, .9, .6)
    second = np.where(y == 0, .6, .9) + lift
    return [Predictions(np.arange(n), y, np.where(rng.random(n) < chance, y, 1 - y)) for chance in (first, second)]

PROFILES = 'pair balanced_accuracy other profiles'
for n in (100, 400):
    pair_cell(f'{PROFILES} n={n}', n, partial(two_profiles, n=n), 'balanced_accuracy', 0, n / 4, has_t=False)
draw = partial(two_profiles, n=200, lift=.1)
pair_cell(f'{PROFILES} lift=.1 n=200', 200, draw, 'balanced_accuracy', .1, 50, power=True, has_t=False)

@lru_cache
def calmer():
    "The logit of a model that says the same for all and has the same expected loss as the overconfident one."
    goal, shares = expected_loss(3, 1, 3), np.linspace(.5, .999, 5000)
    chance = float(WEIGHT @ (1 / (1 + np.exp(-3 - Z))))
    losses = -chance * np.log(shares) - (1 - chance) * np.log(1 - shares)
    return float(shares[np.argmin(abs(losses - goal))])

def two_losses(rng, n):
    "An overconfident model and one that always says the same, of equal expected loss."
    a, q = confident(rng, n, 3, 1, 3), calmer()
    same = np.tile(np.array([q, 1 - q], np.float32), (n, 1))
    return a, Predictions(a.ids, a.y, np.zeros(n, int), same)

for n in (30, 100, 1000):
    pair_cell(f'pair log_loss overconfident n={n}', n, partial(two_losses, n=n), 'log_loss', 0, n * .06)

def two_grouped(rng, **about):
    right, groups = grouped(rng, models=2, **about)
    return [right_or_wrong(r, groups) for r in right]

for groups in (10, 20, 50):
    for how in ('equal', 'unequal'):
        name = f'pair accuracy icc=0.5 groups={groups} {how}'
        draw = partial(two_grouped, groups=groups, p=.8, icc=.5, how=how)
        pair_cell(name, groups, draw, 'accuracy', 0, has_t=False)
        CELLS[name].aims['gain covered'] = Aim(0, bound_of_groups(groups, how))

# ---- several models

def several(rng, n, accuracies):
    "Models of given accuracies whose errors are correlated through the difficulty of the examples."
    limit = np.sqrt(2) * stats.norm.ppf(accuracies)
    right = rng.normal(size=(len(accuracies), n)) + rng.normal(size=n) < limit[:, None]
    return {f'm{i}': right_or_wrong(r) for i, r in enumerate(right)}

def best_of(models):
    "The name of the model with the highest accuracy."
    return max(models, key=lambda name: (models[name].y == models[name].pred).mean())

def against_incumbent(models, margin, seed):
    "(p-value of the best candidate, whether some candidate is a go): of all candidates together where the package can."
    incumbent, *_ = models
    candidates = {name: p for name, p in models.items() if name != incumbent}
    best = best_of(candidates)
    together = later('comparisons', 'compare_with')
    if together is None or len(candidates) == 1:
        found = compare(models[incumbent], candidates[best], 'accuracy', margin=margin, n_boot=BOOT, seed=seed)
        return found.p_value, found.verdict == 'go'
    df = together(models[incumbent], candidates, 'accuracy', margin=margin, n_boot=BOOT, seed=seed)
    return df.p.min(), (df.verdict == 'go').any()

def many_cell(n, k, cost):
    def equal(rng, seed):
        p, _ = against_incumbent(several(rng, n, np.full(k + 1, .76)), None, seed)
        return {'type I': Said(p <= ALPHA)}
    def at_margin(rng, seed):
        _, go = against_incumbent(several(rng, n, np.r_[.76, np.full(k, .73)]), .03, seed)
        return {'go': Said(go)}
    cell(f'many best of {k} against an incumbent n={n}', n, equal, cost, type_I=Aim(0, high=.05))
    cell(f'many go, {k} candidates at the margin n={n}', n, at_margin, cost, go=Aim(-.03, high=.025))

for n in (450, 2000):
    for k in (1, 2, 5, 10, 20): many_cell(n, k, 1)

def leader(rng, seed):
    "Twenty equal models: what is said of the first."
    models = several(rng, 450, np.full(20, .76))
    pairs = compare_all({name: models[name] for name in ('m0', 'm1')}, 'accuracy', n_boot=50)
    first = rank_groups(models, 'accuracy', pairs=pairs, n_boot=BOOT, seed=seed).iloc[0]
    optimism = later('comparisons', 'leader_optimism')
    too_good = 0. if optimism is None else optimism(models, 'accuracy', n_boot=BOOT, seed=seed)
    low, value, high = (figure - too_good for figure in (first.low, first.value, first.high))
    return {
        'covered': Said(low <= .76 <= high, high - low),
        'figure above the truth': Said(value > .76)}

cell('many leader of 20 equal models n=450', 450, leader, covered=Aim(.76, .92), figure_above_the_truth=Aim(.76))

def chance_of_best(spread):
    def trial(rng, seed):
        accuracies = np.clip(.76 + spread * rng.normal(size=6), .01, .99)
        models = several(rng, 1000, accuracies)
        pairs = compare_all({name: models[name] for name in ('m0', 'm1')}, 'accuracy', n_boot=50)
        df = rank_groups(models, 'accuracy', pairs=pairs, n_boot=BOOT, seed=seed)
        first = df.iloc[0]
        return {'the likeliest is the best': Said(first.model == f'm{accuracies.argmax()}', claim=first.p_best)}
    return trial

for spread in (.005, .01, .02):
    name = f'many p_best of 6 models, spread={spread} n=1000'
    cell(name, 1000, chance_of_best(spread), the_likeliest_is_the_best=Aim(around=.07))

# ---- training draws

DIMS, SIGNAL, DRAWN = 10, .35, 3 # features, distance of a class mean from 0 in each, features of a baseline

def draw_rows(rng, n, dims=DIMS):
    y = np.arange(n) % 2
    return rng.normal(size=(n, dims)) + np.where(y[:, None] == 1, SIGNAL, -SIGNAL), y

def fit(x, y):
    "Fisher's discriminant, slightly shrunk: weights and threshold."
    means = np.stack([x[y == c].mean(0) for c in (0, 1)])
    within = np.cov((x - means[y]).T) + .1 * np.eye(x.shape[1])
    w = np.linalg.solve(within, means[1] - means[0])
    return w, w @ means.mean(0)

def true_accuracy(w, threshold):
    z = (SIGNAL * w.sum() - np.array([1, -1]) * threshold) / np.linalg.norm(w)
    return float(stats.norm.cdf(z).mean())

def answers(x, y, model, ids=None):
    "What a model says of some rows; without ids they are the test set."
    w, threshold = model
    split = 'test' if ids is None else 'train'
    return Predictions(np.arange(len(y)) if ids is None else ids, y, (x @ w > threshold).astype(int), split=split)

def fitted(x, y, projection=None):
    "A model of training rows; `projection`: it sees these directions only."
    if projection is None: return fit(x, y)
    w, threshold = fit(x @ projection, y)
    return projection @ w, threshold

def subset(rng, n, pool):
    "n rows of a pool whose classes alternate, half of each class."
    half = rng.permutation(pool // 2)[:n // 2]
    return np.concatenate([2 * half, 2 * half + 1])

def random_directions(rng): return rng.normal(size=(DIMS, DRAWN))

@lru_cache
def expectations(n, draws=3000):
    "Over training draws: accuracy, U, and the gain over random directions."
    rng, found = np.random.default_rng(n), []
    for _ in range(draws):
        x, y = draw_rows(rng, n)
        model, base = fitted(x, y), fitted(x, y, random_directions(rng))
        reached = true_accuracy(*model)
        found.append((reached, reached - np.mean(answers(x, y, model).pred == y), reached - true_accuracy(*base)))
    return np.mean(found, 0)

def of_procedure(kind, tests, others, trains):
    "The interval for the procedure over its seeds; before there was one: that of the first seed."
    over_seeds, shared = later('draws', f'{kind}_over_seeds'), later('draws', 'shared_examples')
    first, second = (others, tests) if kind == 'upgradeability' else (tests, others)
    if over_seeds is not None: return over_seeds(first, second, 'accuracy', shared=shared(trains))
    of_one = upgradeability if kind == 'upgradeability' else gain
    return of_one(first[0], second[0], 'accuracy')

def training_cell(n, seeds=10, n_test=1000, pool=4):
    "A procedure with several seeds, whose training samples are drawn from a pool `pool` times as large."
    def trial(rng, seed):
        (x, y), (many, labels) = draw_rows(rng, n_test), draw_rows(rng, pool * n)
        rows = [subset(rng, n, pool * n) for _ in range(seeds)]
        models = [fitted(many[r], labels[r]) for r in rows]
        bases = [fitted(many[r], labels[r], random_directions(rng)) for r in rows]
        trains = [answers(many[r], labels[r], model, ids=r) for r, model in zip(rows, models)]
        tests, weak = ([answers(x, y, model) for model in which] for which in (models, bases))
        _, u, g = expectations(n)
        u_fitted = true_accuracy(*models[0]) - np.mean(trains[0].y == trains[0].pred)
        g_fitted = true_accuracy(*models[0]) - true_accuracy(*bases[0])
        found = {
            'U, the fitted model': (upgradeability(trains[0], tests[0], 'accuracy'), u_fitted),
            'gain, the fitted models': (gain(tests[0], weak[0], 'accuracy'), g_fitted),
            'U, the procedure': (of_procedure('upgradeability', tests, trains, trains), u),
            'gain, the procedure': (of_procedure('gain', tests, weak, trains), g)}
        return {question: Said(covers(s, truth), width(s)) for question, (s, truth) in found.items()}
    _, u, g = expectations(n)
    aims = {'U, the fitted model': Aim(u, .92), 'gain, the fitted models': Aim(g, .92)}
    aims |= {'U, the procedure': Aim(u, .91), 'gain, the procedure': Aim(g, .91)}
    name = f'draws n_train={n} seeds={seeds}'
    CELLS[name] = Cell(name, n_test, trial, aims)

# ---- curves

SIZES = (20, 50, 100, 200, 400)

class Cells(pd.DataFrame):
    "Cells of a curve as `evaluate` would return them, with the predictions at hand."
    _metadata = ['parts']
    @property
    def _constructor(self): return Cells
    def predictions(self, key): return self.parts[key]

def curve_cells(rng, seeds, x, y, dims, name):
    "One model at all sizes, trained on nested draws: its cells."
    rows, parts = [], {}
    for seed in range(seeds):
        learned, labels = draw_rows(rng, SIZES[-1])
        ids = np.arange(SIZES[-1]) + 10**6 * seed # another draw, other examples
        for n in SIZES:
            model = fit(learned[:n], labels[:n])
            test, train = answers(x[:, dims], y, model), answers(learned[:n], labels[:n], model, ids[:n])
            key = f'{name}-{n}-{seed}'
            parts[key] = dict(test=test, train=train)
            right, known = (np.mean(p.y == p.pred) for p in (test, train))
            about = dict(key=key, model=name, n_train=n, seed=seed)
            about |= dict(metric='accuracy', protocol='linear_probe', error='')
            rows.append(about | dict(test=right, train=known, upgradeability=right - known))
    return rows, parts

def default_seeds():
    "How many seeds a curve has unless told otherwise."
    chosen = later('curves', 'curve_seeds')
    if chosen is not None: return len(chosen('linear_probe'))
    return len(inspect.signature(curves.learning_curve).parameters['seeds'].default)

def all_curves(rows, parts):
    "({model: points}, {model: summary}, {model: (sizes, draws)}) of the rows of several models."
    cells = Cells(rows)
    cells.parts = parts
    together = later('curves', '_all_curves')
    if together is not None:
        points, summary, draws = together(cells, cells[:0], find_metric('accuracy'), .95, BOOT)
        return dict(list(points.groupby('model'))), summary.set_index('model').to_dict('index'), draws
    found = {name: curves._one_curve(name, part, .95, BOOT) for name, part in cells.groupby('model')}
    return [{name: parts[i] for name, parts in found.items()} for i in range(3)]

def curve_cell(seeds, n_test=4000):
    truth = np.array([expectations(n)[0] for n in SIZES])
    needed = curves.label_efficiency(np.array(SIZES), truth)
    def trial(rng, seed):
        x, y = draw_rows(rng, n_test, 2 * DIMS)
        rows_a, parts_a = curve_cells(rng, seeds, x, y, slice(0, DIMS), 'a')
        rows_b, parts_b = curve_cells(rng, seeds, x, y, slice(DIMS, None), 'b')
        points, summaries, draws = all_curves(rows_a + rows_b, parts_a | parts_b)
        rows, summary = points['a'], summaries['a']
        rows = rows[rows.origin == 'measured'].set_index('n_train')
        said = {}
        for n, t in zip(SIZES, truth):
            low, high = rows.test_low[n], rows.test_high[n]
            said[f'band at {n} labels'] = Said(low <= t <= high, high - low)
        low, high = summary['efficiency_low'], summary['efficiency_high']
        is_known = np.isfinite([low, high]).all()
        said['labels needed'] = Said(low <= needed <= high if is_known else np.nan, high - low)
        [pair] = curves.find_crossings(draws).itertuples()
        said['identical models cross'] = Said(np.isfinite(pair.n))
        return said
    aims = {f'band at {n} labels': Aim(t, .92) for n, t in zip(SIZES, truth)}
    aims |= {'labels needed': Aim(needed, .92), 'identical models cross': Aim(0, high=.05)}
    name = curve_name(seeds)
    CELLS[name] = Cell(name, n_test, trial, aims, 4)

def curve_name(seeds): return f'curves of {seeds} seeds, 4000 test examples'

LATER = {f'draws n_train={n} seeds=10': (training_cell, n) for n in (20, 50, 100, 400)} # their truths take a while
LATER |= {curve_name(seeds): (curve_cell, seeds) for seeds in sorted({3, default_seeds(), 10})}

# ---- the table

def monte_carlo_error(share, runs):
    "Standard error of a share; of 0 and 1 that of one run in all."
    near = np.clip(share, 1 / runs, 1 - 1 / runs)
    return float(np.sqrt(near * (1 - near) / runs))

def is_inside(share, error, aim, claim):
    "'yes' or 'no'; '' without bounds. Two Monte-Carlo errors are allowed."
    low, high = aim.low, aim.high
    if np.isfinite(aim.around): low, high = claim - aim.around, claim + aim.around
    if np.isnan(low) and np.isnan(high): return ''
    return 'no' if share < low - 2 * error or share > high + 2 * error else 'yes'

def bound_in_words(aim):
    if np.isfinite(aim.around): return f'claim ± {aim.around:g}'
    if np.isnan(aim.low) and np.isnan(aim.high): return ''
    if np.isnan(aim.high): return f'>= {aim.low:g}'
    return f'<= {aim.high:g}' if np.isnan(aim.low) else f'{aim.low:g} to {aim.high:g}'

def summarise(cell, question, said, seconds):
    "One row of the table."
    aim, about = cell.aims[question], dict(cell=cell.name, question=question, n=cell.n)
    hits = np.array([s.hit for s in said], float)
    is_given = ~np.isnan(hits)
    hits = hits[is_given]
    if not len(hits): return about | dict(given=0., inside='none given')
    share, claim = hits.mean(), float(np.mean([s.claim for s in said]))
    error = monte_carlo_error(share, len(hits))
    return about | dict(
        truth=value_of(aim.truth) if np.isnan(claim) else claim,
        share=share,
        mc_error=error,
        width=float(np.mean([s.width for s, given in zip(said, is_given) if given])),
        bound=bound_in_words(aim),
        inside=is_inside(share, error, aim, claim),
        warned=float(np.mean([s.warned for s in said])),
        given=float(is_given.mean()),
        runs=len(said),
        seconds=seconds / len(cell.aims))

def run_cell(cell, runs):
    "The rows of one simulation."
    rng = np.random.default_rng(zlib.crc32(cell.name.encode()))
    runs = max(2, runs // cell.cost)
    start = time.perf_counter()
    found = [cell.trial(rng, seed) for seed in range(runs)]
    seconds = time.perf_counter() - start
    return [summarise(cell, question, [run[question] for run in found], seconds) for question in cell.aims]

def chosen_cells(pattern):
    "The cells whose names fit."
    for name, (make, argument) in LATER.items():
        if re.search(pattern, name): make(argument)
    return [c for name, c in CELLS.items() if re.search(pattern, name)]

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--cells', default='', metavar='REGEX', help='part of the names of the simulations to run')
    parser.add_argument('--runs', type=int, default=400, help='runs of each simulation; the slowest get a quarter')
    parser.add_argument('--before', metavar='FILE.csv', help='an earlier table, whose shares stand beside the new ones')
    parser.add_argument('--out', metavar='FILE.csv', help='where the table is stored')
    args = parser.parse_args()
    warnings.simplefilter('ignore')
    rows = []
    for each in chosen_cells(args.cells):
        new = run_cell(each, args.runs)
        rows += new
        for row in new: print(line(row), flush=True)
        if args.out: table_of(rows, args.before).to_csv(args.out, index=False, float_format='%.4g')
    if not rows: parser.error(f'no simulation fits {args.cells!r}')
    outside = sum(row['inside'] == 'no' for row in rows)
    print(f"{len(rows)} rows, {outside} outside their bounds, {sum(row.get('seconds', 0) for row in rows):.0f} seconds")

def table_of(rows, before=None):
    "The rows as a table; `before` is the file of an earlier one."
    table = pd.DataFrame(rows)
    if before is None: return table.assign(before=np.nan)
    place = ['cell', 'question']
    earlier = pd.read_csv(before)[[*place, 'share']].rename(columns={'share': 'before'})
    return table.merge(earlier, on=place, how='left')

def line(row):
    "A row of the table as text."
    begin = f"{row['cell'] + ': ' + row['question']:88}"
    if 'share' not in row: return f'{begin} no interval given'
    return (f"{begin} {row['share']:.3f} ± {row['mc_error']:.3f}  {row['bound']:12} {row['inside']:4} "
            f"width {row['width']:.3f}  warned {row['warned']:.2f}  {row['seconds']:.1f} s")

if __name__ == '__main__': main()
