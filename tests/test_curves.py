"Learning curves: known laws, known crossings, and what is said of odd curves."
import numpy as np, pandas as pd, pytest, torch
from sklearn.datasets import load_digits
from torch import nn
from upgradeability.curves import _ill_behaved, find_crossings, fit_power_law, label_efficiency, learning_curve, power_law
from upgradeability.metrics import METRICS, Metric
from upgradeability.models import load_backbone
from upgradeability.plots import plot_gap, plot_labels
from upgradeability.verdicts import verdict_curve

N = np.array([50, 100, 200, 400, 800, 1600])


@pytest.fixture(scope='module')
def arrays():
    d = load_digits()
    x = (d.images / 16).astype(np.float32)
    return x[:900].reshape(900, -1), d.target[:900], x[900:].reshape(-1, 64), d.target[900:]


def mlp(seed, width=64):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))


@pytest.mark.parametrize('law', [(0, 1, .3), (.05, 3, .8), (.2, .5, 1.5), (0, .9, .06)])
def test_power_law_is_recovered(law):
    assert np.allclose(power_law(fit_power_law(N, power_law(law, N)), N), power_law(law, N), atol=2e-3)


def test_power_law_is_the_least_squares_fit_on_its_grid():
    from scipy.optimize import nnls
    rng = np.random.default_rng(0)
    for _ in range(20):
        e = np.abs(rng.normal(.3, .1, 6))
        ours = ((power_law(fit_power_law(N, e), N) - e)**2).sum()
        slow = min(nnls(np.column_stack([np.ones(6), N**-c]), e)[1]**2 for c in np.linspace(.02, 2, 100))
        assert ours == pytest.approx(slow, rel=1e-6, abs=1e-12)


def test_power_law_parameters_stay_in_bounds_and_few_sizes_are_refused():
    laws = fit_power_law(N, np.random.default_rng(0).random((50, 6)))
    assert (laws[:, :2] >= 0).all() and (laws[:, 2] > 0).all() and (laws[:, 2] <= 2).all()
    with pytest.raises(ValueError, match='at least 4'): fit_power_law([1, 2, 3, 3], [.1, .2, .3, .3])


def test_labels_needed():
    assert label_efficiency([10, 100], [.5, .9], .4) == 10
    assert label_efficiency([10, 1000], [.5, .9], .7) == pytest.approx(100)
    assert label_efficiency([10, 100], [.5, .6], .7) == np.inf
    assert np.isnan(label_efficiency([10, 100], [0, 0], 0))


def test_a_falling_curve_is_called_ill_behaved():
    n, steady = np.array([10, 20, 40]), np.random.default_rng(0).normal(0, .001, (200, 3))
    assert 'falls by 0.100 from 20 to 40' in _ill_behaved(n, np.array([.5, .7, .6]), steady, True)
    assert _ill_behaved(n, np.array([.5, .6, .7]), steady, True) == ''
    assert _ill_behaved(n, np.array([.5, .4, .3]), steady, False) == ''


def test_crossing_of_two_known_curves():
    rng = np.random.default_rng(0)
    noisy = lambda b, c: 1 - power_law([0, b, c], N) + .005 * rng.normal(size=(300, 6))
    found = find_crossings({'a': (N, noisy(4.5, .5)), 'b': (N, noisy(1., .2))}).iloc[0]
    assert found.low < 4.5**(1 / .3) < found.high and found.share > .99
    assert np.isnan(find_crossings({'a': (N, noisy(1, .2)), 'b': (N, noisy(2, .2))}).n[0])


def test_learning_curve(arrays, tmp_path):
    backbone = load_backbone(mlp(0))
    df = learning_curve(backbone, arrays, sizes='20,50,100,200,400', seeds=(0, 1), out_dir=tmp_path)
    measured, beyond = df[df.origin == 'measured'], df[df.origin == 'extrapolated']
    assert measured.n_train.tolist() == [20, 50, 100, 200, 400] and beyond.n_train.max() <= 1600
    assert ((measured.test_low <= measured.test) & (measured.test <= measured.test_high)).all()
    cells = df.cells
    for n, g in cells[cells.protocol == 'linear_probe'].groupby('n_train'):
        assert measured.set_index('n_train').test[n] == pytest.approx(g.test.mean())
    assert df.summary.label_efficiency[0] <= 400
    again = learning_curve(backbone, arrays, sizes=[20, 50, 100, 200, 400], seeds=(0, 1), out_dir=tmp_path)
    pd.testing.assert_frame_equal(df, again)
    pd.concat([df[:2], df[2:]])


def test_three_sizes_give_points_and_no_law(arrays, tmp_path):
    df = learning_curve(mlp(0), arrays, sizes=[20, 50, 100], seeds=[0], out_dir=tmp_path)
    assert set(df.origin) == {'measured'} and 'fewer than 4' in df.summary.remark[0]


def test_a_size_that_could_not_be_run_is_said(arrays, tmp_path):
    df = learning_curve(mlp(0), arrays, sizes=[20, 50, 5000], seeds=[0], out_dir=tmp_path)
    assert '- Error: ' in verdict_curve(df) and 'n_train=5000 is more than the' in verdict_curve(df)


@pytest.mark.parametrize('metric, reached', [('log_loss', 'reaches log loss (lower is better) '), ('nothing', 'reaches nothing 0.000 with 400 labels; 95 % of a loss or of a value below 0 is not defined')])
def test_a_curve_without_a_95_percent(arrays, tmp_path, metric, reached, monkeypatch):
    "A loss, and a model that gets nothing right, need no number of labels; nor does the report say one."
    monkeypatch.setitem(METRICS, 'nothing', Metric('nothing', lambda p: np.zeros((len(p), 1)), lambda sums: sums[..., 0]))
    df = learning_curve([mlp(0), mlp(1)], arrays, sizes=[50, 100, 200, 400], seeds=[0, 1], metric=metric, out_dir=tmp_path)
    said = verdict_curve(df)
    assert said.count(reached) == 2 and 'needs about' not in said and 'nan' not in said
    assert plot_labels(df.summary) is None
    assert plot_gap(df).get_ylabel() == ('U = train − test' if metric == 'log_loss' else 'U = test − train')
    mixed = df.summary.assign(label_efficiency=[200., np.nan], efficiency_low=[150., np.nan], efficiency_high=[300., np.nan])
    assert [t.get_text().split()[0] for t in plot_labels(mixed).texts[:2]] == ['200', 'none']


def test_curves_that_touch_by_chance_do_not_cross():
    "Side by side, one a little ahead: at single sizes the other is in front, in hardly any resample at both ends."
    rng = np.random.default_rng(0)
    level = 1 - power_law([.1, 2, .4], N)
    found = find_crossings({'a': (N, level + .006 * rng.normal(size=(400, 6))), 'b': (N, level + np.array([.02, .02, .02, -.004, .02, .02]) + .006 * rng.normal(size=(400, 6)))}).iloc[0]
    assert np.isnan(found.n) and found.share < .05
