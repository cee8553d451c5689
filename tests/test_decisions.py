"Decisions from start to end: odd data and odd models give figures or a clear message, and nothing is chosen on the test set."
import json
from dataclasses import replace
import matplotlib.pyplot as plt, numpy as np, pandas as pd, pytest, torch
from torch import nn
from upgradeability.curves import learning_curve
from upgradeability.ranking import rank_models
from upgradeability.datasets import load_task
from upgradeability.evaluation import evaluate, read_predictions, verify
from upgradeability.comparisons import class_flips, compare, compare_all, leader_optimism, rank_groups
from upgradeability.kinds.classification import broken_examples
from upgradeability.models import load_backbone
from upgradeability.plots import plot_calibration, plot_differences, plot_flips, plot_groups, plot_scores
from upgradeability.report import keep_provenance, show_table
from upgradeability.verdicts import verdict, verdict_compare
from upgradeability.verdicts import opponents, test_predictions as predictions_of, upgrade_of


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close('all')


class Pick(nn.Module):
    "Features that are some of the inputs, times a weight."
    def __init__(self, columns, weight=1.):
        super().__init__()
        self.columns, self.weight, self.head = list(columns), nn.Parameter(torch.tensor(float(weight))), nn.Linear(len(columns), 3)
    def forward(self, x): return self.head(x[:, self.columns] * self.weight)


def data(n=150, n_test=90, classes=3, seed=0):
    "Three columns that tell the class, one that tells a little, and noise."
    rng = np.random.default_rng(seed)
    y = np.arange(n + n_test) % classes
    x = np.column_stack([10 * np.eye(classes)[y], y + rng.normal(size=len(y)), rng.normal(size=(len(y), 8))]).astype(np.float32)
    return x[:n], y[:n], x[n:], y[n:]


PERFECT, FAIR, NOISE, CONSTANT = (lambda: Pick(range(3))), (lambda: Pick([3, 4])), (lambda: Pick(range(4, 10))), (lambda: Pick(range(3), 0))


def decide(models, arrays, out_dir, metric=None):
    "All that the notebook `compare` works out and draws: the table, the groups and the sentences."
    df = evaluate(models, arrays, protocols=['linear_probe'], metric=metric, out_dir=out_dir)
    tests = predictions_of(df, 'linear_probe')
    pairs = compare_all(tests, metric)
    groups = rank_groups(tests, metric, pairs=pairs)
    old, new = opponents(tests, groups)
    text = verdict_compare(groups, upgrade_of(tests, old, new, metric, margin=.02), old, new, df, leader_optimism(tests, metric)) + verdict(df)
    flips = class_flips(tests[old], tests[new])
    for ax in (plot_scores(df), plot_groups(groups), plot_differences(pairs, old, .02), plot_flips(flips), plot_calibration(tests[old])): ax.figure.canvas.draw()
    assert 'nan' not in text and np.isfinite(groups[['value', 'p_best']]).all(axis=None) and groups.p_best.sum() == pytest.approx(1)
    assert len(broken_examples(tests[old], tests[new])) == flips.negative.sum() and len(show_table(df)) and verify(out_dir).empty
    return df, groups, text


def test_perfect_constant_and_noise(tmp_path):
    with pytest.warns(UserWarning, match='all examples look alike to this model'): df, groups, text = decide([NOISE(), CONSTANT(), PERFECT()], data(), tmp_path)
    probe = df[df.protocol == 'linear_probe'].reset_index(drop=True)
    assert probe.test[2] == 1 and np.isnan(probe.test[1]) and 'look alike' in text
    assert groups.letters.tolist() == ['a', 'b'] and groups.p_best[0] == 1 and '**go**' in text
    assert probe.upgradeability[2] == 0 and probe.upgradeability_low[2] < 0 < probe.upgradeability_high[2]


@pytest.mark.parametrize('metric', ['accuracy', 'macro_f1', 'log_loss'])
def test_models_that_answer_alike_are_tied(tmp_path, metric):
    "The second model has other weights and the same features after standardising, so all its answers are those of the first."
    df, groups, text = decide([Pick(range(3)), Pick(range(3), 2.)], data(), tmp_path, metric)
    assert (groups.letters == 'a').all() and np.allclose(groups.p_best, .5) and 'it is not distinguishable from' in text


def test_one_model_twice_is_one_model(tmp_path):
    "The same network given twice is one row, and there is nothing to compare it with."
    net = PERFECT()
    df, groups, text = decide([net, net], data(), tmp_path)
    assert len(groups) == 1 and 'No other model ran' in text


@pytest.mark.filterwarnings('ignore:.*in train but not in test')
def test_one_test_example(tmp_path):
    x, y, x_test, y_test = data()
    df, groups, text = decide([FAIR(), PERFECT()], (x, y, x_test[:1], y_test[:1]), tmp_path)
    probe = df[df.protocol == 'linear_probe']
    assert (probe.n_test == 1).all() and (probe.test_high - probe.test_low > .7).all() and groups.top.all()


@pytest.mark.parametrize('n', [2, 3, 4])
def test_a_class_with_a_single_training_example(tmp_path, n):
    "One, two and three labels per class, and a class with one label beside others with many."
    x, y, x_test, y_test = data()
    few = np.r_[0:3 * (n - 1), np.flatnonzero(y < 2)[:4 * n]]
    rows = np.r_[0:3, 3:3 * n] if n < 4 else np.unique(np.r_[2, few[y[few] < 2]])
    df, _, text = decide([FAIR(), PERFECT()], (x[rows], y[rows], x_test, y_test), tmp_path)
    assert df.test[df.protocol == 'linear_probe'].iloc[1] > .9 and (df.error == '').all()


def test_a_class_with_one_example_cannot_be_split():
    x, y, _, _ = data()
    with pytest.raises(ValueError, match='single example.*Add examples'): load_task((x[:61], np.r_[y[:60] % 2, 2]))


def test_only_ties():
    "Every example the same answer, every model the same: nothing is preferred."
    x, y, x_test, y_test = data()
    flat = (np.ones_like(x), y, np.ones_like(x_test), y_test)
    df = rank_models({c: load_backbone(Pick([i])) for i, c in enumerate('abc')}, load_task(flat), budget=20, smallest=60)
    assert df.score.nunique() == 1 and df.p_best.sum() == pytest.approx(1)


class Noise(nn.Module):
    "Features that depend on the input so wildly that they say nothing of it."
    def __init__(self, width):
        super().__init__()
        torch.manual_seed(width)
        self.mix, self.head = nn.Linear(12, width), nn.Linear(width, 3)
        with torch.no_grad(): self.mix.weight.mul_(1e4)
    def forward(self, x): return self.head(torch.sin(self.mix(x)))


def test_noise_of_any_width_never_ranks_above_information(tmp_path):
    models = {'informative': load_backbone(FAIR())} | {f'noise {d}': load_backbone(Noise(d)) for d in (2, 30, 300, 3000)}
    x, y, x_test, y_test = data(600)
    df = rank_models(models, load_task((x, y, x_test, y_test)), budget=60, smallest=128, keep=5, out_dir=tmp_path)
    assert df.model[0] == 'informative' and df.p_best[0] > .99 and df.logme.idxmax() == 0


# ---- the test set is opened once

PROTOCOLS_TRIED = ['majority', 'as_is', 'knn', 'linear_probe', 'layer_probe', 'random_probe', 'fine_tune?epochs=2&lrs=1e-3,1e-2', 'from_scratch?epochs=2&lrs=1e-3,1e-2']


def shuffled(task):
    "The task with other labels on test."
    y, test = task.y.copy(), task.splits['test']
    y[test] = np.random.default_rng(0).permutation(y[test])
    return replace(task, y=y, fingerprint='shuffled')


def small_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))


def cells_of(df): return {(r.protocol, r.n_train, r.seed): read_predictions(df.attrs['out_dir'], r.key) for r in df.itertuples()}


def assert_same_choices(one, other):
    assert one.keys() == other.keys() and len(one)
    for place, a in one.items():
        b = other[place]
        assert a['test'].meta.get('choices') == b['test'].meta.get('choices'), place
        assert np.array_equal(a['train'].pred, b['train'].pred) and np.array_equal(a['test'].pred, b['test'].pred) and not np.array_equal(a['test'].y, b['test'].y)


def test_shuffled_test_labels_change_no_choice(tmp_path):
    task, net = load_task(data()), load_backbone(small_net(), init=lambda seed: small_net(seed + 1), classes=['0', '1', '2'])
    runs = [cells_of(evaluate(net, t, protocols=PROTOCOLS_TRIED, n_train=60, out_dir=tmp_path/str(i))) for i, t in enumerate((task, shuffled(task)))]
    assert {p for p, *_ in runs[0]} == set(PROTOCOLS_TRIED)
    assert_same_choices(*runs)


def test_shuffled_test_labels_change_no_choice_of_a_curve(tmp_path):
    task = load_task(data())
    curves = [learning_curve(FAIR(), t, sizes=[9, 18, 36, 72], seeds=[0, 1], out_dir=tmp_path/str(i)) for i, t in enumerate((task, shuffled(task)))]
    assert_same_choices(*(cells_of(c.cells) for c in curves))
    assert not np.allclose(*(c[c.origin == 'measured'].test for c in curves))


def test_shuffled_test_labels_change_no_step_of_a_ranking(tmp_path):
    task = load_task(data(300))
    models = {n: load_backbone(f()) for n, f in dict(perfect=PERFECT, fair=FAIR, noise=NOISE, constant=CONSTANT).items()}
    a, b = (rank_models(models, t, budget=20, smallest=100, out_dir=tmp_path/str(i)) for i, t in enumerate((task, shuffled(task))))
    same = ['model', 'score', 'se', 'logme', 'examples', 'rung']
    if a.attrs['plan'] == b.attrs['plan']: pd.testing.assert_frame_equal(a[same], b[same]) # plans follow the machine's speed
    assert a.model.tolist() == b.model.tolist()


def test_provenance_says_how_many_configurations_were_tried(tmp_path):
    df = evaluate([FAIR(), NOISE()], data(), protocols=['majority', 'knn', 'linear_probe'], out_dir=tmp_path)
    shown = keep_provenance(df)
    made = json.loads((tmp_path/'provenance.json').read_text())
    tried = [(r['choices'] or {}).get('tried', 1) for r in made['runs']]
    assert made['tried'] == sum(tried) and max(tried) >= 5 and len(tried) == len(df) == len(shown)


# ---- sentences and warnings

def test_a_notebook_stores_no_warning_for_what_its_table_says(tmp_path, monkeypatch, recwarn):
    call = lambda: evaluate([CONSTANT(), FAIR()], data(), protocols=['linear_probe'], out_dir=tmp_path)
    monkeypatch.setattr('builtins.__IPYTHON__', True, raising=False)
    assert (call().error != '').sum() == 1 and len(recwarn) == 0
    monkeypatch.delattr('builtins.__IPYTHON__')
    with pytest.warns(UserWarning, match='rows have an error'): call()


@pytest.mark.parametrize('margin, call', [(.5, 'go'), (.001, 'cannot tell'), (None, 'Set a margin')])
def test_the_call_and_its_reason(tmp_path, margin, call):
    df = evaluate([FAIR(), Pick([3, 5])], data(), protocols=['linear_probe'], out_dir=tmp_path)
    tests = predictions_of(df, 'linear_probe')
    groups = rank_groups(tests)
    old, new = opponents(tests, groups)
    text = verdict_compare(groups, compare(tests[old], tests[new], margin=margin), old, new)
    assert (f'**{call}**' if margin else call) in text and ('the loss is smaller' in text) == (call == 'go') and ('does not rule out' in text) == (call == 'cannot tell')


def test_a_leader_that_majority_beats_is_said_to_be_worse(tmp_path):
    df = evaluate([NOISE(), Pick([8, 9])], data(), protocols=['linear_probe'], out_dir=tmp_path)
    tests = predictions_of(df, 'linear_probe')
    groups = rank_groups(tests)
    old, new = opponents(tests, groups)
    said = lambda df: verdict_compare(groups, compare(tests[old], tests[new]), old, new, df).partition('\n')[0]
    assert 'always saying the most frequent class' in said(df) and 'always' not in said(None)
    worse = df.assign(gain=-.2, gain_low=-.3, gain_high=-.1)
    worse.attrs = df.attrs
    assert '**worse** than always saying the most frequent class' in said(worse)
