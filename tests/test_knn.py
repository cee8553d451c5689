"Nearest neighbours where classes are small: k, ties, and the figure on train against scikit-learn's leave-one-out."
from dataclasses import replace
import numpy as np, pytest
from sklearn.model_selection import LeaveOneGroupOut, LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from upgradeability.datasets import load_task
from upgradeability.features import Features
from upgradeability.intervals import score
from upgradeability import protocols as pr
from upgradeability.protocols import KS, choose_k, fit_rows, knn, neighbours
from upgradeability.media import array_inputs
from upgradeability.tasks import make_task, split_valid


def separated(sizes, noise=.05, seed=0, d=None):
    "(x, y) of classes around orthogonal directions."
    y = np.repeat(np.arange(len(sizes)), sizes)
    x = np.eye(d or len(sizes))[y] + noise * np.random.default_rng(seed).normal(size=(len(y), d or len(sizes)))
    order = np.random.default_rng(seed + 1).permutation(len(y))
    return x[order].astype(np.float32), y[order]


def given(task):
    f = Features(np.asarray(task.inputs.items, np.float32), task.y, np.arange(len(task.y)), None, task.splits, None, {})
    return lambda backbone: f


def left_out(x, y, k, groups=None):
    "scikit-learn's answers with each example (or each group) left out, and whether the vote is tied."
    by = LeaveOneOut() if groups is None else LeaveOneGroupOut()
    model = KNeighborsClassifier(k, metric='cosine', algorithm='brute')
    p = cross_val_predict(model, x, y, groups=groups, cv=by, method='predict_proba')
    return p.argmax(1), np.isclose(p, p.max(1, keepdims=True)).sum(1) > 1


@pytest.mark.parametrize('sizes', [[20] * 10, [2] * 12, [3, 3, 40, 40], [1, 5, 5], [7] * 2, [6, 6, 6, 200]], ids=str)
@pytest.mark.parametrize('valid', [True, False])
def test_separated_classes_are_told_apart_on_train_and_test(sizes, valid):
    x, y = separated(sizes)
    new, new_y = separated([10] * len(sizes), seed=5)
    rows = np.arange(len(y))
    splits = {'train': rows, 'valid': [], 'test': len(y) + np.arange(len(new_y))}
    if valid:
        held = split_valid(y)
        splits |= {'train': rows[~held], 'valid': rows[held]}
    task = make_task('t', array_inputs(np.r_[x, new]), np.r_[y, new_y], splits, medium='array')
    out = knn(None, task, given(task))
    assert float(score(out['test'], 'accuracy')) == 1
    alone = np.isin(out['train'].y, np.flatnonzero(np.array(sizes) == 1)) # nothing of its class is left
    assert (out['train'].pred == out['train'].y)[~alone].all()
    assert out['train'].meta['choices']['k'] <= max(1, np.median(sizes) - 1)


def test_ten_classes_of_twenty_as_arrays():
    x, y = separated([20] * 10)
    new, new_y = separated([20] * 10, seed=9)
    task = load_task((x, y, new, new_y))
    out = knn(None, task, given(task))
    assert float(score(out['train'], 'accuracy')) == float(score(out['test'], 'accuracy')) == 1


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('sizes', [[20] * 10, [12, 30, 45], [4, 4, 80]], ids=str)
def test_train_is_leave_one_out_of_scikit_learn(sizes, seed):
    x, y = separated(sizes, noise=.4, seed=seed, d=12)
    task = load_task((x, y, *separated(sizes, noise=.4, seed=seed + 50, d=12)))
    out = knn(None, task, given(task))
    rows = fit_rows(task)
    theirs, tied = left_out(task.inputs.items[rows], task.y[rows], out['train'].meta['choices']['k'])
    assert not tied.all() and np.array_equal(out['train'].pred[~tied], theirs[~tied])


@pytest.mark.parametrize('seed', range(4))
def test_groups_are_left_out_as_wholes(seed):
    "Rows of a sentence leave together, so that fewer of their class are left."
    x, y = separated([24, 24, 24], noise=.3, seed=seed, d=6)
    groups = np.random.default_rng(seed).integers(0, 9, len(y))
    found = choose_k(x, y, len(y), 3, groups=groups)
    left = [min((y[groups != g] == c).sum() for g in range(9)) for c in range(3)]
    assert found['k'] <= np.median(left) and max(found['accuracy']) <= np.median(left)
    for k, figure in found['accuracy'].items():
        theirs, tied = left_out(x, y, k, groups)
        assert abs(figure - (theirs == y).mean()) <= tied.mean() + 1e-9


def test_equal_figures_choose_the_smallest_k():
    x, y = separated([60] * 3)
    for n_train in (180, 120):
        found = choose_k(x, y, n_train, 3)
        assert set(found['accuracy'].values()) == {1.} and found['k'] == 1 and found['tried'] > 2


def test_a_better_k_is_still_chosen_where_classes_are_large():
    x, y = separated([200, 200], noise=1.2, d=4)
    found = choose_k(x, y, 400, 2)
    assert list(found['accuracy']) == list(KS) and found['k'] == min(found['accuracy'], key=lambda k: (-found['accuracy'][k], k)) > 3


def test_one_label_of_each_class_leaves_nothing_to_choose():
    x, y = separated([1] * 5)
    assert choose_k(x, y, 5, 5)['k'] == 1
    x, y = separated([2] * 5)
    assert choose_k(x, y, 10, 5)['k'] == 1 and choose_k(x, y, 10, 5)['accuracy'] == {1: 1.}


@pytest.mark.parametrize('n, k', [(3300, 50), (641, 10), (200, 5)])
def test_neighbours_are_those_of_a_full_sort(n, k):
    "Peaks of sets of columns, against sorting all similarities."
    rng = np.random.default_rng(n)
    x, queries = rng.normal(size=(n, 8)).astype(np.float32), rng.normal(size=(20, 8)).astype(np.float32)
    similar = (queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ (x / np.linalg.norm(x, axis=1, keepdims=True)).T
    found = neighbours(x, queries, k)
    values = np.take_along_axis(similar, found, 1)
    np.testing.assert_allclose(values, -np.sort(-similar, axis=1)[:, :k], atol=1e-6)
    assert all(len(set(row)) == k for row in found)


def test_equal_neighbours_come_in_their_order():
    x = np.eye(4, dtype=np.float32)[np.arange(4000) % 4]
    x[:2] *= 3 # other lengths, the same angle
    x[100] += 1e-3
    assert (np.diff(neighbours(x, np.eye(4)[1:2], 4)[0]) > 0).all()


def test_neighbours_are_looked_up_once_without_valid(monkeypatch):
    x, y = separated([6] * 3)
    task = load_task((x, y, *separated([4] * 3, seed=3)))
    task = replace(task, splits=dict(task.splits, train=fit_rows(task), valid=np.zeros(0, np.int64)))
    asked, true = [], pr.neighbours
    monkeypatch.setattr(pr, 'neighbours', lambda x, queries, *a, **kw: asked.append(queries is None) or true(x, queries, *a, **kw))
    knn(None, task, given(task))
    assert asked == [True, False]
