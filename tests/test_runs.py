"Runs that survive: damage of every kind is named and mended, folders are shared, kills lose nothing, and the cache has a size."
import os, signal, subprocess, sys, tempfile, time, warnings
from functools import partial
from pathlib import Path
import numpy as np, pandas as pd, psutil, pyarrow as pa, pyarrow.parquet as pq, pytest, torch
from torch import nn
from upgradeability import PROTOCOLS, cache_info, evaluate, gains, prune_cache, rank_models, read_predictions, read_results, score, verify
from upgradeability.core import in_use, NothingToReport, read_json, seal, remove_leftovers, write_atomic, write_json
from upgradeability.metrics import MANY_CLASSES, Predictions, TopScores, calibration, ece, top_scores
from upgradeability.report import keep_provenance, show_metrics
from upgradeability.verdicts import verdict

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch): monkeypatch.setenv('UPGRADEABILITY_CACHE', str(tmp_path/'cache'))


def net(seed=0, d=6):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Linear(d, 5).eval()


def data(n=48, n_test=24, classes=3, d=6):
    rng = np.random.default_rng(0)
    y = np.arange(n + n_test) % classes
    x = (rng.normal(size=(n + n_test, d)) + 2 * np.eye(d)[y % d]).astype(np.float32)
    return x[:n], y[:n], x[n:], y[n:]


def run(out_dir, seed=0, **options):
    return evaluate(net(seed), data(), **{'protocols': 'knn, linear_probe', 'dtype': 'float32', 'out_dir': out_dir, **options})


def quietly(call, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return call(*args, **kwargs)


def same_rows(a, b):
    "Every figure bit for bit; only the seconds may differ."
    drop = lambda df: df.drop(columns='seconds').sort_values(['model', 'protocol', 'key'], ignore_index=True)
    pd.testing.assert_frame_equal(drop(a), drop(b), check_exact=True, check_dtype=False)


def same_predictions(a, b, keys):
    for key in keys:
        one, two = read_predictions(a, key), read_predictions(b, key)
        for split in one:
            for name in ('ids', 'y', 'pred', 'scores'): assert np.array_equal(getattr(one[split], name), getattr(two[split], name))


def leftovers(folder): return [p for p in Path(folder).rglob('.*') if p.is_file() and p.name != '.lock']


# --- damage

KINDS = ('cut', 'bit', 'zeros', 'empty', 'garbage', 'other', 'schema', 'added')

def damaged(data, kind, rng, other):
    "Bytes that are no longer what was written."
    at = int(rng.integers(len(data)))
    if kind == 'cut': return data[:at]
    if kind == 'bit': return data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1:]
    if kind == 'zeros':
        page = int(rng.integers(0, len(data), endpoint=False)) // 512 * 512
        return data[:page] + bytes(len(data[page:page + 512])) + data[page + 512:]
    if kind == 'empty': return b''
    if kind == 'garbage': return rng.bytes(len(data))
    if kind == 'added': return data + b'0'
    return other if kind == 'other' else _table_of_another_kind()


def _table_of_another_kind():
    file = pa.BufferOutputStream()
    pq.write_table(pa.table({'split': ['test'], 'b': [1.5]}), file)
    return file.getvalue().to_pybytes()


@pytest.fixture
def honest(tmp_path):
    "A run and its table."
    df = run(tmp_path/'run')
    keep_provenance(df)
    assert verify(tmp_path/'run').empty
    return tmp_path/'run', df


def each_damage(path, other, n=40):
    "Damage a file in 40 ways, one after the other; yields while it is damaged and restores it."
    rng, whole = np.random.default_rng(15), path.read_bytes()
    for i in range(n):
        bad = damaged(whole, KINDS[i % len(KINDS)], rng, other)
        if bad == whole: continue
        path.write_bytes(bad)
        yield KINDS[i % len(KINDS)]
        path.write_bytes(whole)


def test_damaged_predictions_are_named_and_computed_again(honest):
    out, df = honest
    key = df.key[0]
    path = out/'predictions'/f'{key}.parquet'
    for kind in each_damage(path, (out/'predictions'/f'{df.key[1]}.parquet').read_bytes()):
        found = verify(out)
        assert found.key.tolist() == [key] and found.column.tolist() == ['predictions'], kind
        for read in (partial(read_predictions, out, key), partial(gains, out), partial(verdict, df), partial(show_metrics, df)):
            with pytest.raises(ValueError, match=f'predictions/{key}.parquet') as e: read()
            assert '\n' not in str(e.value)
        with pytest.warns(UserWarning, match=f'{key} cannot be read'): again = run(out)
        assert (again.error == '').all() and verify(out).empty
        same_rows(again, df)


@pytest.mark.parametrize('name', ['results.parquet', 'results.csv', 'provenance.json'])
def test_other_damaged_files_are_named_and_made_again(name, honest):
    out, df = honest
    other = (out/'predictions'/f'{df.key[1]}.parquet').read_bytes()
    for kind in each_damage(out/name, other):
        found = verify(out)
        assert len(found) and (found.stored.astype(str).str.contains(name).any() or name == 'results.parquet' and set(found.key) <= set(df.key)), kind
        if name == 'results.parquet':
            for read in (read_results, gains):
                with pytest.raises(ValueError, match='run/results.parquet'): read(out)
        again = quietly(run, out)
        quietly(keep_provenance, again)
        same_rows(read_results(out), df)
        assert verify(out).empty and len(read_json(out/'provenance.json')['runs']) == len(df)


def test_rows_of_other_calls_survive_a_damaged_table(tmp_path):
    first, second = run(tmp_path, 0), run(tmp_path, 1)
    (tmp_path/'results.parquet').write_bytes(b'nothing')
    with pytest.warns(UserWarning, match='results.parquet has no checksum.*made again'): run(tmp_path, 1)
    same_rows(read_results(tmp_path), pd.concat([first, second], ignore_index=True))
    assert (tmp_path/'results.parquet.damaged').read_bytes() == b'nothing' and verify(tmp_path).empty


def test_a_changed_figure_of_the_csv_is_named(tmp_path):
    df = run(tmp_path)
    path = tmp_path/'results.csv'
    path.write_text(path.read_text().replace(repr(float(df.test[0])), '0.999', 1))
    found = verify(tmp_path)
    assert found.key.tolist() == [df.key[0]] and found.column.tolist() == ['test'] and found.stored[0] == 'results.csv: 0.999' and float(found.recomputed[0]) == df.test[0]


def test_files_of_an_earlier_version_are_refused_in_one_sentence(tmp_path):
    "Without a checksum nothing is known of them; they are computed again."
    df = run(tmp_path)
    path = tmp_path/'predictions'/f'{df.key[0]}.parquet'
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({'upgradeability': table.schema.metadata[b'upgradeability']}), path)
    with pytest.raises(ValueError, match='has no checksum: it is damaged, or an earlier version wrote it. Run the same call again'): read_predictions(tmp_path, df.key[0])
    with pytest.warns(UserWarning, match='earlier version'): same_rows(run(tmp_path), df)


def test_damaged_plans_are_named_and_made_again(tmp_path):
    rank = partial(rank_models, {'a': net(0), 'b': net(1)}, data(n=80), budget=60, smallest=16, keep=1, dtype='float32', out_dir=tmp_path)
    first = rank()
    path, other = tmp_path/'plan.json', b'{"key": "x"}'
    for kind in each_damage(path, other):
        with pytest.warns(UserWarning, match=f'{tmp_path.name}/plan.json (is|has)'): again = rank()
        assert again.model.tolist() == first.model.tolist() and (again.score == first.score).all(), kind
    assert read_json(path)['budget'] == 60


def test_plans_of_two_questions_in_one_folder(tmp_path):
    rank = partial(rank_models, {'a': net(0), 'b': net(1)}, data(n=80), smallest=16, keep=1, dtype='float32', out_dir=tmp_path)
    rank(budget=60)
    plan = (tmp_path/'plan.json').read_bytes()
    rank(budget=50)
    assert (tmp_path/'plan.json').read_bytes() == plan and len(list(tmp_path.glob('plan-*.json'))) == 1


def test_a_seal_has_one_place(tmp_path):
    with pytest.raises(ValueError, match='one place for its checksum, and has 0'): seal(b'nothing', 'a')
    path = write_json(tmp_path/'a.json', {'x': 1}, sealed=True)
    path.rename(tmp_path/'b.json')
    with pytest.raises(ValueError, match='b.json is damaged'): read_json(tmp_path/'b.json')


# --- folders that are shared

def forked(work):
    "Run `work` in a child; its process id."
    pid = os.fork()
    if pid: return pid
    status = 1
    try:
        warnings.simplefilter('ignore')
        work()
        status = 0
    except BaseException as e: print(f'{type(e).__name__}: {e}', file=sys.stderr, flush=True)
    finally: os._exit(status)


def test_two_processes_add_to_one_folder(tmp_path):
    apart = [run(tmp_path/f'alone{seed}', seed) for seed in (0, 1, 2)]
    for _ in range(3):
        children = [forked(lambda s=seed: keep_provenance(run(tmp_path/'both', s))) for seed in (0, 1, 2)]
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
        same_rows(read_results(tmp_path/'both'), pd.concat(apart, ignore_index=True))
        assert verify(tmp_path/'both').empty
    text = pd.read_csv(tmp_path/'both'/'results.csv')
    assert text.key.tolist() == read_results(tmp_path/'both').key.tolist() and text.test.tolist() == read_results(tmp_path/'both').test.tolist()
    assert {r['key'] for r in read_json(tmp_path/'both'/'provenance.json')['runs']} == set(text.key)


def test_the_frame_is_of_the_call_and_the_table_of_all(tmp_path):
    first, second = run(tmp_path, 0), run(tmp_path, 1)
    assert len(first) == len(second) == 3 and len(read_results(tmp_path)) == 6
    assert set(gains(second).key) == set(second.key[second.protocol != 'majority']) < set(gains(tmp_path).key)
    same_rows(read_results(tmp_path, first.attrs['run']), first)
    assert first.attrs['run'] != second.attrs['run'] == run(tmp_path, 1).attrs['run']


def test_another_metric_has_rows_of_its_own(tmp_path):
    one, two = run(tmp_path), run(tmp_path, metric='macro_f1')
    table = read_results(tmp_path)
    assert table.metric.tolist() == one.metric.tolist() + two.metric.tolist() and set(one.key) == set(two.key)
    assert verify(tmp_path).empty and len(gains(tmp_path)) == 2 * len(gains(one)) and (gains(two).metric == 'macro_f1').all()


def test_a_failed_row_never_replaces_one_that_has_succeeded(tmp_path, monkeypatch):
    run(tmp_path, protocols='knn')
    fails = lambda backbone, task, features, *, seed=0: 1 / 0
    monkeypatch.setitem(PROTOCOLS, 'knn', fails)
    with pytest.raises(NothingToReport, match='ZeroDivisionError'): quietly(run, tmp_path, protocols='knn')
    assert read_results(tmp_path).error.tolist() == ['', '']


def test_a_failed_row_goes_when_it_succeeds(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(PROTOCOLS, 'knn', lambda backbone, task, features, *, seed=0: 1 / 0)
        with pytest.raises(NothingToReport): quietly(run, tmp_path, protocols='knn')
    assert 'ZeroDivisionError: division by zero' in read_results(tmp_path).error.tolist()
    run(tmp_path, protocols='knn')
    assert len(read_results(tmp_path)) == 2 and (read_results(tmp_path).error == '').all()


def test_majority_needs_no_network(tmp_path):
    df = quietly(evaluate, ['file:nowhere.pth:resnet18', net()], data(), protocols='knn', out_dir=tmp_path)
    assert df.error.ne('').tolist() == [True, False, False, False] and df.test[1] == df.test[3]
    broken = nn.Linear(6, 5, device='meta')
    with pytest.raises(NothingToReport): quietly(evaluate, broken, data(), protocols='knn', out_dir=tmp_path)
    assert read_results(tmp_path).error.ne('').sum() == 2
    assert verify(tmp_path).empty


# --- kills and stops

def test_forty_five_kills_lose_nothing(tmp_path):
    "SIGKILL at random moments of a sweep; then all is as if nothing had happened, and no temporary file is left."
    options = dict(n_train=[24, 36], protocols='knn, linear_probe')
    calm = run(tmp_path/'calm', **options)
    os.environ['UPGRADEABILITY_CACHE'] = str(tmp_path/'other')
    start = time.perf_counter()
    run(tmp_path/'warm', **options)
    took = min(time.perf_counter() - start, 1.)
    rng, rounds = np.random.default_rng(45), 5
    for i in range(rounds):
        out = tmp_path/f'out{i}'
        os.environ['UPGRADEABILITY_CACHE'] = str(tmp_path/f'cache{i}')
        for _ in range(45 // rounds):
            pid = forked(lambda: run(out, **options))
            time.sleep(rng.uniform(0, 1.2 * took))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        again = run(out, **options)
        same_rows(again, calm)
        same_rows(read_results(out), calm)
        same_predictions(out, tmp_path/'calm', calm.key)
        assert verify(out).empty and not leftovers(out)
        prune_cache('1GB')
        assert not leftovers(tmp_path/f'cache{i}')


def test_a_killed_notebook(tmp_path):
    "The notebook `eval` through papermill, killed with its kernel half-way; one more run then gives what an undisturbed one gives."
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    command = [sys.executable, '-m', 'papermill', 'eval.ipynb', 'out.ipynb', '--no-progress-bar']
    for name, value in dict(model='timm:test_resnet?random', n_train=60, protocols='majority, knn', dtype='float32').items(): command += ['-p', name, str(value)]
    calm, killed = tmp_path/'calm', tmp_path/'killed'
    for folder in (calm, killed): folder.mkdir()
    start = subprocess.Popen(command, cwd=calm, env=environment, stderr=subprocess.PIPE, text=True)
    begin, rng = time.perf_counter(), np.random.default_rng(5)
    assert start.wait() == 0, start.stderr.read()
    took = time.perf_counter() - begin
    for moment in rng.uniform(.2, .5, 1) * took:
        process = subprocess.Popen(command, cwd=killed, env=environment, stderr=subprocess.DEVNULL)
        time.sleep(moment)
        for child in psutil.Process(process.pid).children(recursive=True): child.kill()
        process.kill()
        process.wait()
    assert subprocess.run(command, cwd=killed, env=environment, capture_output=True).returncode == 0
    one, two = (read_results(folder/'runs'/'eval') for folder in (calm, killed))
    same_rows(one, two)
    same_predictions(calm/'runs'/'eval', killed/'runs'/'eval', one.key)
    assert verify(killed/'runs'/'eval').empty and not leftovers(killed)


def slow_protocol(monkeypatch):
    def slow(backbone, task, features, *, seed=0):
        time.sleep(.3)
        return PROTOCOLS['majority'](backbone, task, features, seed=seed)
    monkeypatch.setitem(PROTOCOLS, 'slow', slow)


def stopped(work, number, log, delay=1.):
    "A child that gets a signal; (its status, what it said)."
    def logged():
        sys.stderr = open(log, 'w')
        work()
    pid = forked(logged)
    time.sleep(delay)
    os.kill(pid, number)
    return os.waitpid(pid, 0)[1], log.read_text()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_call_says_what_is_kept(number, tmp_path, monkeypatch):
    slow_protocol(monkeypatch)
    work = partial(run, tmp_path/'run', protocols='majority, slow', seeds=range(20))
    status, said = stopped(work, number, tmp_path/'log')
    assert f"cells are stored in '{tmp_path/'run'}' (this call has 40). Run the same call again: it computes only what is missing." in said
    assert len(said.strip().splitlines()) == 1
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGTERM if number == signal.SIGTERM else os.WEXITSTATUS(status) == 1
    assert list((tmp_path/'run'/'predictions').iterdir()) and not leftovers(tmp_path/'run')


def test_the_handler_of_sigterm_is_put_back_and_called(tmp_path, monkeypatch):
    slow_protocol(monkeypatch)
    called = []
    before = signal.signal(signal.SIGTERM, lambda *_: called.append(1))
    try:
        mine = signal.getsignal(signal.SIGTERM)
        run(tmp_path/'calm', protocols='knn')
        assert signal.getsignal(signal.SIGTERM) is mine
        helper = forked(lambda: (time.sleep(.5), os.kill(os.getppid(), signal.SIGTERM)))
        with pytest.raises(SystemExit): run(tmp_path/'run', protocols='slow', seeds=range(20))
        os.waitpid(helper, 0)
        assert called == [1] and signal.getsignal(signal.SIGTERM) is mine
    finally: signal.signal(signal.SIGTERM, before)


# --- the cache

def test_temporary_files_of_dead_processes_are_removed(tmp_path):
    def killed():
        write_atomic(tmp_path/'run'/'predictions'/'x.parquet', lambda f: (f.write(b'half'), f.flush(), os.kill(os.getpid(), signal.SIGKILL)))
    os.waitpid(forked(killed), 0)
    [left] = leftovers(tmp_path/'run')
    mine = left.with_name(left.name.replace(left.name.split('-')[1].split('.')[0], str(os.getpid())))
    mine.touch()
    run(tmp_path/'run')
    assert leftovers(tmp_path/'run') == [mine]
    os.utime(mine, (0, 0))
    assert remove_leftovers(tmp_path/'run'/'predictions') == [mine]


def test_marks_of_dead_processes_are_removed_from_complete_features(tmp_path):
    filled(tmp_path, [1000, 2000])
    folder = tmp_path/'cache'/'features'/'f1'
    def killed():
        with in_use(folder): os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(forked(killed), 0)
    assert len(leftovers(folder)) == 1
    with in_use(tmp_path/'cache'/'features'/'f0'):
        assert prune_cache('1GB').empty
        assert not leftovers(folder) and len(leftovers(tmp_path/'cache')) == 1


def filled(tmp_path, sizes):
    for i, size in enumerate(sizes):
        folder = tmp_path/'cache'/'features'/f'f{i}'
        folder.mkdir(parents=True)
        (folder/'a.safetensors').write_bytes(bytes(size))
        for p in (folder/'a.safetensors', folder): os.utime(p, (1000 + i, 1000 + i))


def test_the_cache_is_pruned_to_a_size_the_oldest_first(tmp_path):
    filled(tmp_path, [1000, 2000, 3000, 4000])
    assert cache_info()[['part', 'name', 'bytes']].values.tolist() == [['features', f'f{i}', 1000 * (i + 1)] for i in range(4)]
    assert prune_cache('7.5KB').name.tolist() == ['f0', 'f1'] and cache_info().name.tolist() == ['f2', 'f3']
    assert prune_cache(10_000).empty
    with in_use(tmp_path/'cache'/'features'/'f2'): assert prune_cache(0).name.tolist() == ['f3']
    assert prune_cache(0).name.tolist() == ['f2'] and cache_info().empty
    with pytest.raises(ValueError, match="size='much' is not a size: write '20GB'"): prune_cache('much')


def test_results_and_downloads_are_removed_on_request_only(tmp_path):
    df = run(None)
    (tmp_path/'cache'/'data'/'mnist').mkdir(parents=True)
    (tmp_path/'cache'/'data'/'mnist'/'train').write_bytes(b'pictures')
    assert prune_cache(0).part.unique().tolist() == ['features'] and verify(df.attrs['out_dir']).empty
    assert set(prune_cache(0, also=('data', 'runs')).part) == {'data', 'runs'} and cache_info().empty
    with pytest.raises(ValueError, match="Unknown part of the cache 'run'. Did you mean 'runs'"): prune_cache(0, also='run')
    assert run(None).test.tolist() == df.test.tolist()


@pytest.mark.skipif(not hasattr(os, 'setuid') or os.getuid() != 0, reason='needs root, to become a user who may not write')
def test_a_warm_cache_that_can_only_be_read(monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        folder.chmod(0o755)
        monkeypatch.setenv('UPGRADEABILITY_CACHE', str(folder/'cache'))
        (folder/'mine').mkdir()
        os.chmod(folder/'mine', 0o777)
        df = run(folder/'first')
        def nobody():
            os.setuid(65534)
            same_rows(run(folder/'mine'/'run'), df)
            with pytest.raises(NothingToReport) as other: quietly(run, folder/'mine'/'other', seed=3, protocols='knn')
            (folder/'mine'/'error').write_text(str(other.value))
            with pytest.raises(OSError, match='Set UPGRADEABILITY_CACHE to one that can'): run(None)
        assert os.waitpid(forked(nobody), 0)[1] == 0
        said = (folder/'mine'/'error').read_text()
        assert 'The features of 72 examples are not in the cache' in said and said.endswith('Set UPGRADEABILITY_CACHE to one that can.')


# --- many classes

def many(n=600, classes=250, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.full(classes, .02), n).astype(np.float32)
    y = np.array([rng.choice(classes, p=row / row.sum()) for row in scores.astype(float)])
    pred = np.where(rng.random(n) < .9, scores.argmax(1), rng.integers(classes, size=n))
    meta = dict(classes=tuple(map(str, range(classes))))
    full = Predictions(np.arange(n), y, pred, scores, meta=meta)
    return full, Predictions(full.ids, y, pred, top_scores(scores, y, pred), meta=meta)


def test_figures_of_many_classes_are_those_of_all_probabilities():
    full, held = many()
    for name in ('accuracy', 'balanced_accuracy', 'macro_f1', 'log_loss', 'brier'): assert score(full, name, n_boot=50) == score(held, name, n_boot=50), name
    assert ece(full, n_sim=5) == ece(held, n_sim=5)
    pd.testing.assert_frame_equal(calibration(full), calibration(held), check_exact=True)
    rows = np.flatnonzero(full.y % 2)
    assert score(full.take(rows), 'brier', n_boot=50) == score(held.take(rows), 'brier', n_boot=50)
    assert np.allclose(held.scores.rest + held.scores.probs[:, :20].sum(1), 1, atol=1e-5)


def test_a_metric_that_needs_all_probabilities_says_so():
    _, held = many()
    with pytest.raises(ValueError, match='Only the 20 largest of 250 class probabilities'): np.asarray(held.scores)
    with pytest.raises(ValueError, match='Only the 20 largest'): held.scores[np.arange(len(held)), np.argsort(held.y)]


def test_many_classes_are_stored_and_verified(tmp_path):
    rng = np.random.default_rng(0)
    classes, d = MANY_CLASSES + 10, 12
    centres = rng.normal(size=(classes, d))
    y, y_test = np.repeat(np.arange(classes), 4), np.arange(classes)
    x, x_test = ((centres[c] + .5 * rng.normal(size=(len(c), d))).astype(np.float32) for c in (y, y_test))
    call = partial(evaluate, net(d=d), (x, y, x_test, y_test), protocols='knn, majority', dtype='float32')
    held = call(out_dir=tmp_path/'held')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('upgradeability.protocols.MANY_CLASSES', 10**6)
        full = call(out_dir=tmp_path/'full')
    same_rows(held, full)
    assert verify(tmp_path/'held').empty and isinstance(read_predictions(tmp_path/'held', held.key[0])['test'].scores, TopScores)
    for key in held.key:
        a, b = read_predictions(tmp_path/'held', key)['test'], read_predictions(tmp_path/'full', key)['test']
        for name in ('log_loss', 'brier'): assert score(a, name, n_boot=20) == score(b, name, n_boot=20)
    sizes = [(tmp_path/d/'predictions'/f'{held.key[0]}.parquet').stat().st_size for d in ('held', 'full')]
    assert sizes[0] < 1.5 * sizes[1]


def test_up_to_two_hundred_classes_all_probabilities_are_stored(tmp_path):
    df = run(tmp_path, protocols='knn')
    assert read_predictions(tmp_path, df.key[0])['test'].scores.shape == (24, 3)
