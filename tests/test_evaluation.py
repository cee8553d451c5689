"The results table: its columns, what is computed once, what a failure costs, what a key depends on, and whether it can be verified."
import signal, subprocess, sys, time, warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
import numpy as np, pandas as pd, pytest, torch
from torch import nn
from upgradeability import evaluation as ev
from upgradeability.evaluation import COLUMNS, average_seeds, evaluate, gains, read_predictions, verify, write_predictions
from upgradeability.comparisons import gain
from upgradeability.intervals import score, upgradeability
from upgradeability.metrics import METRICS, Metric, Predictions, per_unit, ratio
from upgradeability.models import MODELS, Source, load_backbone
from upgradeability.protocols import PROTOCOLS
from upgradeability.protocols import fit_rows, predictions_of
from upgradeability.datasets import TASKS, load_task
from upgradeability.tasks import make_task

FIGURES = COLUMNS[6:15] + COLUMNS[16:19]


class Net(nn.Module):
    "A small network with a head of four classes."
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Linear(24, 4)
    def forward(self, x): return self.head(self.body(x))


def net(seed=0):
    with torch.random.fork_rng(): torch.manual_seed(seed); return Net()


def data(n=60, n_test=40, seed=0, classes=3):
    rng = np.random.default_rng(seed)
    y = np.arange(n + n_test) % classes
    x = rng.normal(size=(n + n_test, 1, 8, 8)).astype(np.float32)
    for c in range(classes): x[y == c, :, 2 * c:2 * c + 2] += 1
    return x[:n], y[:n], x[n:], y[n:]


def random_net(seed): return net(seed + 100)
def backbone(seed=0, **options): return load_backbone(net(seed), init=random_net, device='cpu', **options)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch): monkeypatch.setenv('UPGRADEABILITY_CACHE', str(tmp_path/'cache'))


@pytest.fixture
def quiet():
    with warnings.catch_warnings(): warnings.simplefilter('ignore'); yield


def evaluate_quietly(*args, **kwargs):
    with warnings.catch_warnings(): warnings.simplefilter('ignore'); return evaluate(*args, **kwargs)


def files(folder): return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in Path(folder).rglob('*') if p.is_file()}
def stored(folder): return {k: v for k, v in files(folder).items() if k.endswith('.parquet') and not k.startswith('results')}


# --- the table

def test_columns_types_and_missing_values(tmp_path):
    protocols = ['knn', 'majority', 'linear_probe', 'as_is', 'random_probe', 'fine_tune?epochs=1&lrs=0.01']
    df = evaluate_quietly(backbone(), data(), protocols=protocols, out_dir=tmp_path/'run', seeds=3)
    assert list(df.columns) == COLUMNS == ("model task protocol n_train seed metric train train_low train_high test test_low test_high upgradeability upgradeability_low "
        "upgradeability_high baseline gain gain_low gain_high n_test seconds error key").split()
    assert df.protocol.tolist() == protocols and df.model.nunique() == df.task.nunique() == 1
    assert all(df[c].dtype == np.float64 for c in [*FIGURES, 'seconds']) and df.n_train.dtype == df.seed.dtype == np.int64
    majority, failed = df.protocol == 'majority', df.protocol == 'as_is'
    assert df.loc[failed, [*FIGURES, 'n_test', 'seconds']].isna().all(axis=None) and 'class_map' in df.error[failed].iloc[0] and (df.key[failed] == '').all()
    assert (df.error[~failed] == '').all() and df.key[~failed].nunique() == 5
    assert df.loc[majority, ['baseline', 'gain', 'gain_low', 'gain_high']].isna().all(axis=None) and (df.baseline[~majority] == 'majority').all()
    assert df.loc[~majority & ~failed, [*FIGURES, 'n_test', 'seconds']].notna().all(axis=None)
    assert (df.n_train == 60).all() and (df.seed == 3).all() and (df.n_test[~failed] == 40).all()
    ok = df[~failed]
    for name in ('train', 'test', 'upgradeability'): assert ((ok[f'{name}_low'] <= ok[name] + 1e-12) & (ok[name] <= ok[f'{name}_high'] + 1e-12)).all()
    again = pd.read_parquet(tmp_path/'run'/'results.parquet')
    pd.testing.assert_frame_equal(again, df, check_dtype=False, check_exact=True, check_frame_type=False)
    assert df.attrs['out_dir'] == str(tmp_path/'run')
    assert list(pd.read_csv(tmp_path/'run'/'results.csv').columns) == COLUMNS


def test_figures_are_those_of_the_stored_predictions(tmp_path):
    df = evaluate(backbone(), data(), protocols='knn, linear_probe', metric='macro_f1', out_dir=tmp_path, n_train=45)
    base = read_predictions(tmp_path, df.key[df.protocol == 'majority'].iloc[0])['test']
    for row in df[df.protocol != 'majority'].itertuples():
        parts = read_predictions(tmp_path, row.key)
        for name, s in [('train', score(parts['train'], 'macro_f1')), ('test', score(parts['test'], 'macro_f1')), ('gain', gain(parts['test'], base, 'macro_f1')),
                        ('upgradeability', upgradeability(parts['train'], parts['test'], 'macro_f1'))]:
            assert (getattr(row, name), getattr(row, f'{name}_low'), getattr(row, f'{name}_high')) == (s.value, s.low, s.high)
        assert row.n_train == 45 == len(parts['train']) and row.metric == 'macro_f1'


def test_order_of_rows_is_that_of_the_arguments(tmp_path):
    df = evaluate([net(1), net(0)], [data(seed=1), data(seed=2)], protocols='knn,majority', n_train=[30, 15], seeds=range(2), out_dir=tmp_path)
    assert len(df) == len(df.drop_duplicates(COLUMNS[:5])) == 2 * 2 * 2 * 2 * 2
    expected = [(m, t, n, s, p) for m in df.model.unique() for t in df.task.unique() for n in (30, 15) for s in (0, 1) for p in ('knn', 'majority')]
    assert list(zip(df.model, df.task, df.n_train, df.seed, df.protocol)) == expected
    assert df.key.nunique() == len(df)
    both_seeds = [read_predictions(tmp_path, k)['train'].ids for k in df.key[(df.n_train == 15) & (df.protocol == 'knn')][:2]]
    assert set(both_seeds[0]) != set(both_seeds[1])


def test_repeated_arguments_are_one(tmp_path):
    module, arrays = net(), load_task(data())
    df = evaluate([module, module], [arrays, arrays], protocols='knn, majority, knn', seeds=[0, 0], n_train=[30, 30], out_dir=tmp_path)
    assert df.protocol.tolist() == ['knn', 'majority']


def test_average_over_seeds(tmp_path):
    df = evaluate(net(), data(), protocols='knn', n_train=[15, 30], seeds=[0, 1, 2], out_dir=tmp_path)
    summary = average_seeds(df).set_index(['protocol', 'n_train'])
    part = df[(df.protocol == 'knn') & (df.n_train == 15)]
    row = summary.loc[('knn', 15)]
    assert row.test == pytest.approx(part.test.mean()) and row.test_seed_sd == pytest.approx(np.std(part.test, ddof=1)) and row.n_seeds == 3
    assert average_seeds(df[df.seed == 0]).test_seed_sd.isna().all() and len(summary) == 4


# --- what is computed, and when

def test_a_rerun_computes_nothing_anew(tmp_path):
    call = partial(evaluate, backbone(), data(), protocols=['knn', 'linear_probe', 'random_probe', 'fine_tune?epochs=1&lrs=0.01'], out_dir=tmp_path/'run')
    first, before = call(), stored(tmp_path/'run')
    cache = files(tmp_path/'cache')
    assert call().equals(first) and stored(tmp_path/'run') == before and len(before) == 5
    other = call(metric='balanced_accuracy')
    assert stored(tmp_path/'run') == before and files(tmp_path/'cache') == cache and list(other.key) == list(first.key)
    call(protocols=['linear_probe'])
    assert files(tmp_path/'cache') == cache


def test_a_new_protocol_uses_the_features_that_are_there(tmp_path):
    evaluate(net(), data(), protocols='knn', out_dir=tmp_path/'run')
    cache = files(tmp_path/'cache')
    df = evaluate(net(), data(), protocols='linear_probe', out_dir=tmp_path/'run')
    assert files(tmp_path/'cache') == cache and len(df) == 2


def test_side_by_side_equals_one_by_one(tmp_path):
    call = partial(evaluate, backbone(), data(n=120), protocols='knn, linear_probe, random_probe, fine_tune?epochs=1', n_train=[60, 100], seeds=(0, 1))
    one, two = call(out_dir=tmp_path/'1'), call(out_dir=tmp_path/'2', n_jobs=2)
    pd.testing.assert_frame_equal(one.drop(columns='seconds'), two.drop(columns='seconds'), check_exact=True)
    for key in one.key:
        a, b = (read_predictions(tmp_path/d, key) for d in '12')
        for split in a: assert np.array_equal(a[split].scores, b[split].scores) and np.array_equal(a[split].ids, b[split].ids)


def test_blas_threads_are_as_they_were_after_working_side_by_side(tmp_path):
    from threadpoolctl import threadpool_info, threadpool_limits
    threads = lambda: sorted((o['filepath'], o['num_threads']) for o in threadpool_info() if o['user_api'] == 'blas')
    with threadpool_limits(2, user_api='blas'):
        before = threads()
        evaluate(net(), data(), protocols='knn, linear_probe', n_train=[30, 40, 50], seeds=(0, 1, 2), n_jobs=4, out_dir=tmp_path)
        assert threads() == before and {n for _, n in before} == {2}


SWEEP = '''
import sys, time
import numpy as np, torch
from torch import nn
from upgradeability import evaluate, PROTOCOLS
def slow(backbone, task, features, *, seed=0):
    time.sleep(.4)
    return PROTOCOLS['linear_probe'](backbone, task, features, seed=seed)
PROTOCOLS['slow'] = slow
def run(out_dir):
    rng = np.random.default_rng(0)
    y = np.arange(160) % 4
    x = (rng.normal(size=(160, 6)) + 2 * np.eye(6)[y]).astype(np.float32)
    torch.manual_seed(0)
    return evaluate(nn.Linear(6, 3), (x[:100], y[:100], x[100:], y[100:]), protocols='slow', n_train=60, seeds=range(6), out_dir=out_dir)
if __name__ == '__main__': run(sys.argv[1])
'''

def test_a_killed_sweep_resumes(tmp_path):
    "SIGKILL after some cells: they are kept as they are, the rest is computed, and all is as if nothing had happened."
    (tmp_path/'sweep.py').write_text(SWEEP)
    process = subprocess.Popen([sys.executable, tmp_path/'sweep.py', tmp_path/'run'], stderr=subprocess.PIPE, text=True)
    give_up = time.time() + 120
    while len(stored(tmp_path/'run')) < 3 and process.poll() is None and time.time() < give_up: time.sleep(.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, process.stderr.read()
    kept = stored(tmp_path/'run')
    assert 3 <= len(kept) < 12 and not (tmp_path/'run'/'results.csv').exists()
    module = {'__name__': 'sweep'}
    exec(compile(SWEEP, str(tmp_path/'sweep.py'), 'exec'), module)
    try: resumed, fresh = module['run'](tmp_path/'run'), module['run'](tmp_path/'fresh')
    finally: PROTOCOLS.pop('slow')
    after = stored(tmp_path/'run')
    assert len(after) == 12 and kept.items() <= after.items()
    pd.testing.assert_frame_equal(resumed.drop(columns='seconds'), fresh.drop(columns='seconds'), check_exact=True)


def test_a_damaged_file_of_predictions_is_computed_again(tmp_path):
    df = evaluate(net(), data(), protocols='knn', out_dir=tmp_path)
    path = tmp_path/'predictions'/f'{df.key[0]}.parquet'
    path.write_bytes(path.read_bytes()[:200])
    with pytest.warns(UserWarning, match='cannot be read'): again = evaluate(net(), data(), protocols='knn', out_dir=tmp_path)
    assert again.drop(columns='seconds').equals(df.drop(columns='seconds')) and verify(tmp_path).empty


# --- what a failure costs

@pytest.fixture
def toy(monkeypatch):
    "A source of models: toy:net, which is toy:net:V1 in full, toy:other, and toy:broken."
    state = {'broken': True, 'loads': 0}
    def load_toy(name):
        state['loads'] += 1
        if name == 'broken' and state['broken']: raise OSError('the file toy.pth is missing')
        seed = {'net': 0, 'net:V1': 0, 'other': 1, 'broken': 2}[name]
        return Source(f"toy:{name.partition(':')[0]}:V1", lambda: net(seed), random_net)
    monkeypatch.setitem(MODELS, 'toy', load_toy)
    return state


def test_a_model_that_fails_is_a_row_and_is_tried_again(toy, tmp_path):
    call = partial(evaluate, ['toy:net', 'toy:broken', 'toy:other'], data(), protocols='majority, knn', out_dir=tmp_path)
    with pytest.warns(UserWarning, match='1 of 6 rows have an error.*toy.pth'): df = call()
    failed = (df.model == 'toy:broken') & (df.protocol == 'knn') # majority needs no network
    assert failed.tolist() == [False, False, False, True, False, False] and df[FIGURES].isna().all(axis=1).tolist() == failed.tolist()
    assert (df.error[failed] == 'OSError: the file toy.pth is missing').all() and (df.error[~failed] == '').all()
    before = stored(tmp_path)
    toy['broken'] = False
    again = call()
    assert (again.error == '').all() and again.model.tolist()[2] == 'toy:broken:V1' and before.items() < stored(tmp_path).items()
    others = df.model != 'toy:broken'
    assert again[others].equals(df[others].astype(again.dtypes))


def test_one_size_too_many_is_a_row(tmp_path):
    df = evaluate_quietly(net(), data(n=60), protocols='knn', n_train=[30, 61], out_dir=tmp_path)
    assert (df.error != '').tolist() == [False, False, True, True] and 'more than the 60 training labels' in df.error[2] and df.n_train.tolist() == [30, 30, 61, 61]


def test_controls_without_random_weights_are_rows(tmp_path):
    df = evaluate_quietly(net(), data(), protocols='random_probe, from_scratch, knn', out_dir=tmp_path)
    assert df.test.isna().tolist() == [True, True, False, False] and df.error[:2].str.contains('Give init=').all()


def test_a_metric_that_cannot_be_had_is_a_reason_and_not_the_end(tmp_path, monkeypatch):
    def mute(backbone, task, features, *, seed=0): return predictions_of(task, (task.y[fit_rows(task)], None), (task.y[task.splits['test']], None))
    monkeypatch.setitem(PROTOCOLS, 'mute', mute)
    df = evaluate_quietly(net(), data(), protocols='mute, knn', metric='log_loss', out_dir=tmp_path)
    assert 'needs class probabilities' in df.error[0] and df.test.isna().tolist() == [True, False, False] and df.key[0]
    assert len(gains(tmp_path)) == 1 and verify(tmp_path).empty
    df = evaluate_quietly(net(), data(), protocols='knn', metric='log_loss', baseline='mute', out_dir=tmp_path)
    knn = df[df.protocol == 'knn'].iloc[0]
    assert np.isfinite(knn.test) and np.isnan(knn.gain) and 'needs class probabilities' in knn.error


# --- what is refused before anything is computed

REFUSED = [
    (dict(models='torchvision:resnet5'), "Did you mean 'resnet50'"), (dict(models='efficientnet_lite'), "Did you mean 'efficientnet_lite"), (dict(models=[]), 'No model given'),
    (dict(tasks='digit'), "Did you mean 'digits'"), (dict(tasks=[]), 'No task given'), (dict(protocols='knn, linear_prob'), "Did you mean 'linear_probe'"),
    (dict(protocols='fine_tune?epoch=3'), "Unknown option of fine_tune 'epoch'. Did you mean 'epochs'"), (dict(protocols='knn?k=3'), 'it has none'),
    (dict(metric='acuracy'), "Did you mean 'accuracy'"), (dict(dtype='float16'), "Unknown dtype 'float16'"), (dict(baseline='majorty'), "neither a protocol \\(majority, .*nor a model"),
    (dict(baseline='fine_tune?epoch=3'), "Unknown option"), (dict(class_map='[cat, dog]'), 'should read {task class'), (dict(n_train=0), 'n_train=0'), (dict(n_train='ten'), "n_train='ten'"),
    (dict(n_train=2.5), 'n_train=2.5'), (dict(seeds='x'), "seed='x'"), (dict(seeds=[-1]), 'seed=-1')]

@pytest.mark.parametrize('change, words', REFUSED, ids=[str(c) for c, _ in REFUSED])
def test_refused_before_anything_is_computed(change, words, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setitem(PROTOCOLS, 'majority', lambda *args, seed=0, **options: asked.append(1))
    call = dict(models=net(), tasks=data(), out_dir=tmp_path/'run') | change
    with pytest.raises(ValueError, match=words): evaluate(call.pop('models'), call.pop('tasks'), **call)
    assert not asked and not (tmp_path/'run').exists() and not (tmp_path/'cache'/'features').exists()


def test_something_that_is_no_model(tmp_path):
    with pytest.raises(TypeError, match='is no model'): evaluate(3, data(), out_dir=tmp_path/'run')


def test_an_unwritable_folder_is_said_early(tmp_path, toy):
    (tmp_path/'file').write_text('')
    for out_dir in (tmp_path/'file', tmp_path/'file'/'run', '/proc/nowhere'):
        if str(out_dir).startswith('/proc') and not Path('/proc').is_dir(): continue
        with pytest.raises(OSError, match='Choose another out_dir'): evaluate('toy:net', data(), out_dir=out_dir)
    assert toy['loads'] == 0


# --- baselines

def test_majority_is_always_there(tmp_path):
    df = evaluate(backbone(), data(), protocols='linear_probe', baseline='random_probe', out_dir=tmp_path)
    assert df.protocol.tolist() == ['linear_probe', 'majority', 'random_probe'] and df.baseline.isna().tolist() == [False, False, True]
    assert df.gain[0] == pytest.approx(df.test[0] - df.test[2]) and df.gain[1] == pytest.approx(df.test[1] - df.test[2])


def test_baseline_with_options(tmp_path):
    df = evaluate(backbone(), data(), protocols='knn', baseline='fine_tune?epochs=1&lrs=1e-2', out_dir=tmp_path)
    assert df.protocol.tolist() == ['knn', 'majority', 'fine_tune?epochs=1&lrs=0.01'] and df.baseline[0] == df.protocol[2] and np.isfinite(df.gain[0])


@pytest.mark.parametrize('models, baseline', [(['toy:net', 'toy:other'], 'toy:net'), (['toy:net', 'toy:other'], 'toy:net:V1'), (['toy:net:V1', 'toy:other'], 'toy:net'),
                                              (['toy:other'], 'toy:net')])
def test_a_model_as_baseline_however_it_is_written(models, baseline, toy, tmp_path):
    df = evaluate(models, data(), protocols='knn', baseline=baseline, out_dir=tmp_path).set_index(['model', 'protocol'])
    assert len(df) == 4 and set(df.index.get_level_values(0)) == {'toy:net:V1', 'toy:other:V1'}
    own, other = df.loc['toy:net:V1'], df.loc['toy:other:V1']
    assert own.gain.isna().all() and own.baseline.isna().all() and (other.baseline == 'toy:net:V1').all()
    assert other.gain['knn'] == pytest.approx(other.test['knn'] - own.test['knn']) and other.gain['majority'] == 0
    assert verify(tmp_path).empty


def test_a_baseline_that_fails(toy, tmp_path):
    df = evaluate_quietly('toy:net', data(), protocols='knn', baseline='toy:broken', out_dir=tmp_path)
    assert df.test.notna().tolist() == [True, True, False, True] and df.gain[1] == 0 and df.gain[[0, 2, 3]].isna().all() # majority needs no network
    assert df.error[0] == 'no gain, since the baseline toy:broken failed: OSError: the file toy.pth is missing' and df.baseline[0] == 'toy:broken'


def test_an_object_as_baseline(tmp_path):
    old, new = net(0), net(1)
    df = evaluate(new, data(), protocols='knn', baseline=old, out_dir=tmp_path)
    assert len(df) == 4 and df.baseline[0] == df.model[2] != df.model[0] and np.isfinite(df.gain[0]) and df.gain[2:].isna().all()


def test_gains_over_every_baseline(tmp_path):
    mine = backbone(classes=['0', '1', '2', 'none'])
    df = evaluate(mine, data(), protocols='as_is, knn, linear_probe, random_probe, fine_tune?epochs=1&lrs=0.01, from_scratch?epochs=1&lrs=0.01, from_scratch?epochs=2&lrs=0.01',
                  baseline='knn', out_dir=tmp_path)
    over, tests = gains(tmp_path), dict(zip(df.protocol, df.test))
    found = {p: set(part.baseline) for p, part in over.groupby('protocol')}
    scratch = {'majority', 'as_is', 'knn'}
    assert found == {'as_is': {'majority', 'knn'}, 'knn': {'majority', 'as_is'}, 'linear_probe': {'majority', 'as_is', 'knn', 'random_probe'}, 'random_probe': scratch,
        'fine_tune?epochs=1&lrs=0.01': scratch | {'from_scratch?epochs=1&lrs=0.01'}, 'from_scratch?epochs=1&lrs=0.01': scratch, 'from_scratch?epochs=2&lrs=0.01': scratch}
    for g in over.itertuples(): assert g.gain == pytest.approx(tests[g.protocol] - tests[g.baseline]) and g.gain_low <= g.gain <= g.gain_high
    assert list(over.columns) == [*COLUMNS[:6], 'baseline', 'gain', 'gain_low', 'gain_high', 'key'] and verify(tmp_path).empty


def test_gains_over_a_rival(toy, tmp_path):
    evaluate(['toy:net', 'toy:other'], data(), protocols='knn', baseline='toy:net', out_dir=tmp_path)
    over = gains(tmp_path)
    assert {(m, p, b) for m, p, b in zip(over.model, over.protocol, over.baseline)} == {('toy:net:V1', 'knn', 'majority'), ('toy:other:V1', 'knn', 'majority'), ('toy:other:V1', 'knn', 'toy:net:V1')}


# --- objects and entries of one's own

def test_an_object_is_named_by_its_weights_and_never_mixed_up(tmp_path):
    module = net(0)
    df = evaluate([module, net(1)], data(), protocols='linear_probe', out_dir=tmp_path)
    first, second = df.model.unique()
    assert all(pd.Series([first, second]).str.fullmatch('object:Net:[0-9a-f]{8}')) and first != second and df.key.nunique() == 4
    with torch.no_grad(): module.body[0].weight += .5
    changed = evaluate(module, data(), protocols='linear_probe', out_dir=tmp_path)
    assert changed.model[0] not in (first, second) and changed.key[0] not in set(df.key) and changed.test[0] != df.test[0]


def test_two_readings_of_one_object_have_one_name_and_own_rows(tmp_path):
    module, task = net(), load_task(data())
    df = evaluate([load_backbone(module, device='cpu'), load_backbone(module, layer='body.2', device='cpu')], task, protocols='knn', baseline='majority', out_dir=tmp_path)
    assert len(df) == 4 and df.model.nunique() == 1 and df.key.nunique() == 4
    knn = df[df.protocol == 'knn']
    assert knn.gain.tolist() == pytest.approx((knn.test - df.test[df.protocol == 'majority'].iloc[0]).tolist())
    assert len(gains(tmp_path)) == 2 and verify(tmp_path).empty


def test_two_tasks_of_one_name(tmp_path):
    a, b = load_task(data(seed=1)), load_task(data(seed=2, classes=2))
    df = evaluate(net(), [replace(a, name='mine'), replace(b, name='mine')], protocols='knn', out_dir=tmp_path)
    assert len(df) == 4 and (df.error == '').all() and df.gain.notna().sum() == 2
    assert len(gains(tmp_path)) == 2 and verify(tmp_path).empty


def test_entries_of_ones_own(tmp_path, monkeypatch, toy):
    def guess(backbone, task, features, *, seed=0, code=0):
        say = lambda rows: (np.full(len(rows), code), None)
        return predictions_of(task, say(fit_rows(task)), say(task.splits['test']))
    def stripes(name, *, split_seed=0, root=None):
        x, y, *_ = data(n=100)
        from upgradeability.media import array_inputs
        return make_task(f'stripes:{name}', array_inputs(x), y, {}, medium='array', split_seed=split_seed)
    monkeypatch.setitem(PROTOCOLS, 'guess', guess)
    monkeypatch.setitem(TASKS, 'stripes', stripes)
    second = Metric('second', lambda p: per_unit(p, np.column_stack([p.pred == 1, np.ones(len(p))])), ratio, fraction=True)
    df = evaluate('toy:net', 'stripes:three', protocols='guess?code=1, guess', metric=second, out_dir=tmp_path)
    try:
        assert df.task.unique() == ['stripes:three'] and df.metric.unique() == ['second']
        assert df.test.tolist()[:2] == [1, 0] and df.key.nunique() == 3 and verify(tmp_path).empty and len(gains(tmp_path)) == 2
        monkeypatch.setitem(PROTOCOLS, 'guess', lambda backbone, task, features, *, seed=0, code=0: predictions_of(task, *[(np.full(n, 2), None) for n in (len(fit_rows(task)), len(task.splits['test']))]))
        changed = evaluate('toy:net', 'stripes:three', protocols='guess', metric=second, out_dir=tmp_path)
        assert changed.key[0] != df.key[1] and set(read_predictions(tmp_path, changed.key[0])['test'].pred) == {2}
        with pytest.raises(ValueError, match='give yours another name'): evaluate('toy:net', 'stripes:three', metric=replace(second, name='accuracy'), out_dir=tmp_path)
    finally: METRICS.pop('second')


def test_class_map_as_text_and_as_a_dict(tmp_path):
    call = partial(evaluate, backbone(), data(), protocols='as_is', out_dir=tmp_path)
    text, table, other = call(class_map='{0: [0, 3], 1: [1], 2: []}'), call(class_map={0: [0, 3], 1: [1], 2: []}), call(class_map={0: [0], 1: [1], 2: [2, 3]})
    assert text.key[0] == table.key[0] != other.key[0] and text.test[0] != other.test[0]
    parts = read_predictions(tmp_path, text.key[0])
    assert not (parts['test'].pred == 2).any() and parts['test'].meta['ceiling'] == pytest.approx((parts['test'].y != 2).mean())


# --- what a key depends on

def key_of(model=None, task=None, protocol='linear_probe', **options):
    return evaluate(model or backbone(), task or data(), protocols=protocol, **options).key[0]


def test_key(tmp_path, monkeypatch):
    here = dict(out_dir=tmp_path)
    base = key_of(**here)
    assert base == key_of(**here) == key_of(metric='macro_f1', **here) == key_of(baseline='knn', **here) == key_of(n_jobs=2, **here)
    assert base == key_of(dtype=ev.resolve_dtype('auto', backbone()), **here) == key_of(out_dir=tmp_path/'elsewhere')
    x, y, *test = data()
    x = x.copy(); x[0, 0, 0, 0] += 1
    changes = dict(model=key_of(backbone(1), **here), data=key_of(task=(x, y, *test), **here), labels=key_of(task=(x, np.roll(y, 1), *test), **here),
        layer=key_of(backbone(layer='body.2'), **here), protocol=key_of(protocol='knn', **here), n_train=key_of(n_train=30, **here), seed=key_of(seeds=1, **here),
        dtype=key_of(dtype='bfloat16', **here), batch=key_of(batch_size=32, **here), tune=key_of(protocol='fine_tune?epochs=1&lrs=0.01', **here),
        options=key_of(protocol='fine_tune?epochs=1&lrs=0.02', **here))
    monkeypatch.setattr(ev, 'PROTOCOL_VERSION', 1000)
    changes['code'] = key_of(**here)
    assert base not in changes.values() and len(set(changes.values())) == len(changes)


@pytest.mark.parametrize('protocol', ['linear_probe', 'fine_tune?epochs=1&lrs=0.01'])
def test_auto_and_the_type_it_resolves_to_are_one(protocol, tmp_path):
    resolved = ev.resolve_dtype('auto', backbone())
    assert key_of(protocol=protocol, out_dir=tmp_path, dtype='auto') == key_of(protocol=protocol, out_dir=tmp_path, dtype=resolved)


def test_preprocessing_and_random_weights_are_part_of_the_key(tmp_path):
    rng = np.random.default_rng(0)
    pictures = (rng.integers(0, 256, (40, 8, 8), np.uint8), np.arange(40) % 2)
    grey = lambda scale: lambda picture: torch.as_tensor(np.asarray(picture.convert('L'), np.float32)[None] / scale)
    a, b = (key_of(backbone(preprocess=grey(s)), pictures, out_dir=tmp_path) for s in (255, 100))
    assert a != b
    a, b = (key_of(load_backbone(net(), init=f, device='cpu'), protocol='random_probe', out_dir=tmp_path) for f in (random_net, lambda seed: net(seed + 7)))
    assert a != b


def test_without_out_dir_runs_lie_in_the_cache_and_do_not_share_a_folder(tmp_path):
    a, b = (evaluate(net(s), data(), protocols='knn') for s in (0, 1))
    assert a.attrs['out_dir'] != b.attrs['out_dir'] and Path(a.attrs['out_dir']).parent == tmp_path/'cache'/'runs'
    again = evaluate(net(0), data(), protocols='knn', metric='macro_f1')
    assert again.attrs['out_dir'] == a.attrs['out_dir'] and list(again.key) == list(a.key)


# --- predictions on disk

def test_predictions_survive_the_disk(tmp_path):
    p = Predictions(np.array([7, 3, 5]), np.array([0, 1, 1]), np.array([1, 1, 0]), np.random.default_rng(0).dirichlet([1, 1], 3).astype(np.float32), np.array([0, 0, 4]), 'train',
                    {'classes': ('a', 'b'), 'notes': ('one',), 'choices': {'C': np.float64(.1), 'boundary': np.True_}, 'low': float('nan')})
    q = Predictions(np.array([9]), np.array([1]), np.array([1]), None, None, 'test', p.meta)
    for parts in ({'train': p, 'test': replace(p, split='test')}, {'train': replace(q, split='train'), 'test': q}):
        write_predictions(tmp_path, 'k', parts)
        back = read_predictions(tmp_path, 'k')
        for s in ('train', 'test'):
            for name in ('ids', 'y', 'pred', 'scores', 'groups'):
                a, b = getattr(parts[s], name), getattr(back[s], name)
                assert (a is None and b is None) or (np.array_equal(a, b) and a.dtype == b.dtype), name
            assert back[s].meta['classes'] == ('a', 'b') and back[s].meta['choices'] == {'C': .1, 'boundary': True} and np.isnan(back[s].meta['low'])
    with pytest.raises(ValueError, match="Unknown key in .* 'j'"): read_predictions(tmp_path, 'j')


def test_what_the_predictions_say_of_themselves(tmp_path):
    df = evaluate(backbone(), data(), protocols='linear_probe, random_probe', n_train=40, seeds=2, out_dir=tmp_path)
    meta = read_predictions(tmp_path, df.key[0])['test'].meta
    assert (meta['protocol'], meta['n_train'], meta['seed'], meta['dtype'], meta['batch_size'], meta['leaked']) == ('linear_probe', 40, 2, 'float32', 64, 0)
    assert meta['sizes']['train'] + meta['sizes']['valid'] == 40 and meta['choices']['tried'] >= 6 and {'model', 'task'} <= set(meta['fingerprints']) and meta['versions']['torch']
    assert read_predictions(tmp_path, df.key[1])['test'].meta['fingerprints']['random'] != meta['fingerprints']['model']


# --- verify

@pytest.fixture
def run(tmp_path):
    evaluate(backbone(), data(), protocols='knn, linear_probe, random_probe', n_train=45, out_dir=tmp_path/'run')
    return tmp_path/'run'


def tampered(run, **changes):
    df = pd.read_parquet(run/'results.parquet')
    for column, value in changes.items(): df[column] = df[column].where(df.protocol != 'knn', value)
    df.to_parquet(run/'results.parquet')
    return verify(run)


def test_an_honest_run_is_verified(run):
    found = verify(run)
    assert found.empty and list(found.columns) == ['key', 'column', 'stored', 'recomputed']


@pytest.mark.parametrize('column', [*FIGURES, 'n_test', 'n_train', 'seed', 'seconds'])
def test_a_changed_figure_is_found(column, run):
    honest = pd.read_parquet(run/'results.parquet').set_index('protocol').loc['knn']
    new = honest[column] + (1 if column in ('n_test', 'n_train', 'seed') else .001)
    found = tampered(run, **{column: new})
    hit = found[found.column == column]
    assert len(hit) == 1 and hit.key.iloc[0] == honest.key and hit.stored.iloc[0] == new and hit.recomputed.iloc[0] == pytest.approx(honest[column])
    if column in FIGURES: assert len(found) == 1


@pytest.mark.parametrize('column, value', [('model', 'toy:other'), ('task', 'digits'), ('metric', 'macro_f1'), ('metric', 'none'), ('test', np.nan), ('baseline', 'random_probe'), ('baseline', 'as_is'), ('baseline', None)])
def test_a_changed_name_is_found(column, value, run):
    found = tampered(run, **{column: value})
    assert len(found) and set(found.key) == {pd.read_parquet(run/'results.parquet').set_index('protocol').key['knn']}


def test_figures_without_predictions_are_found(run):
    found = tampered(run, key='')
    assert found[found.key == ''].column.tolist() == ['test']


def test_missing_and_unreadable_predictions_are_reported(run):
    knn, probe = pd.read_parquet(run/'results.parquet').set_index('protocol').key[['knn', 'linear_probe']]
    (run/'predictions'/f'{knn}.parquet').unlink()
    (run/'predictions'/f'{probe}.parquet').write_bytes(b'PAR1 nothing')
    found = verify(run)
    assert dict(zip(found.key, found.column)) == {knn: 'predictions', probe: 'predictions'}
    with pytest.raises(FileNotFoundError, match='results.parquet'): verify(run/'predictions')


def edit(run, protocol, **changes):
    "Write a cell's predictions anew with changed fields."
    key = pd.read_parquet(run/'results.parquet').set_index('protocol').key[protocol]
    parts = read_predictions(run, key)
    write_predictions(run, key, {k: replace(p, **{n: f(p) for n, f in changes.items()}) if k == 'test' else p for k, p in parts.items()})
    return key, verify(run)


def test_changed_predictions_and_labels_are_found(run):
    key, found = edit(run, 'knn', pred=lambda p: p.y)
    assert (found.key == key).all() and {'test', 'upgradeability', 'gain'} <= set(found.column)
    key, found = edit(run, 'linear_probe', y=lambda p: np.roll(p.y, 1))
    wrong = found[found.column == 'y']
    assert wrong.key.tolist() == [key] and wrong.stored.iloc[0].endswith('labels')


def test_other_test_examples_and_leaks_are_found(run):
    key, found = edit(run, 'random_probe', ids=lambda p: np.r_[read_predictions(run, pd.read_parquet(run/'results.parquet').key[0])['train'].ids[:1], p.ids[1:]])
    assert found[found.column == 'id'].key.tolist() == [key, key] and 'examples in train and in test' in ' '.join(map(str, found.stored))


def test_what_was_read_of_a_control_is_not_said_of_the_model(tmp_path):
    "The reading of a row is that of its model; that the control had random weights is a note of its own."
    df = evaluate_quietly(backbone(), data(), protocols='linear_probe, random_probe', out_dir=tmp_path)
    for row in df.itertuples():
        test = read_predictions(tmp_path, row.key)['test']
        assert not any('random' in str(entry['value']) for entry in test.meta['reading']['model'])
    control = read_predictions(tmp_path, df.key[df.protocol == 'random_probe'].iloc[0])['test']
    assert any('random weights' in note for note in control.meta['notes'])
