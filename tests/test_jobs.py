"Jobs in threads and processes: the same as one by one, whatever dies, with what the user registered, with and without a common folder."
import sys, threading, warnings
import pandas as pd, pytest
from joblib import parallel_config
from upgradeability import evaluate, learning_curve, rank_models
from upgradeability.jobs import Died, use_cluster, Workers
from upgradeability.protocols import PROTOCOLS
from small import assert_same, data, first_class, Fragile, Net

ASKED = dict(protocols='knn, linear_probe, fine_tune?epochs=1', n_train=[30, 60])


@pytest.fixture(scope='module', autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('UPGRADEABILITY_CACHE', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture(scope='module')
def serial(tmp_path_factory): return evaluate(Net(), data(), out_dir=tmp_path_factory.mktemp('serial'), **ASKED)


@pytest.fixture
def fresh(tmp_path, monkeypatch): monkeypatch.setenv('UPGRADEABILITY_CACHE', str(tmp_path/'cache'))


@pytest.fixture
def processes():
    with parallel_config('loky', n_jobs=2): yield


def test_processes_give_the_same_even_if_one_dies(serial, fresh, processes, tmp_path):
    with pytest.warns(UserWarning, match='A worker died .* its jobs run again'):
        df = evaluate(Fragile(tmp_path/'died'), data(), out_dir=tmp_path/'run', **ASKED)
    assert (tmp_path/'died').exists() and set(df.error) == {''}
    again = evaluate(Net(), data(), out_dir=tmp_path/'net', **ASKED)
    assert_same(serial, again)
    assert df.test.tolist() == serial.test.tolist()
    assert not list(tmp_path.glob('*/.jobs-*')) and list((tmp_path/'cache').glob('features/*/*.safetensors'))


def test_results_come_back_where_no_folder_is_shared(serial, fresh, processes, tmp_path, monkeypatch):
    monkeypatch.setattr(Workers, 'shares', False)
    assert_same(serial, evaluate(Net(), data(), out_dir=tmp_path, **ASKED))
    files = {p: p.stat().st_mtime_ns for p in tmp_path.glob('predictions/*')}
    evaluate(Net(), data(), out_dir=tmp_path, **ASKED)
    assert files == {p: p.stat().st_mtime_ns for p in tmp_path.glob('predictions/*')}


def test_threads_give_the_same(serial, fresh, tmp_path):
    with parallel_config('threading', n_jobs=2): assert_same(serial, evaluate(Net(), data(), out_dir=tmp_path, **ASKED))


def test_many_models_and_errors(fresh, processes, tmp_path, monkeypatch):
    monkeypatch.setitem(PROTOCOLS, 'first_class', first_class)
    models = [Net(seed) for seed in range(4)]
    asked = dict(protocols='knn, first_class, as_is', baseline=models[1])
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        df = evaluate(models, data(), out_dir=tmp_path/'a', **asked)
        assert_same(df, evaluate(models, data(), out_dir=tmp_path/'b', n_jobs=1, **asked))
    assert df.error.astype(bool).sum() == 4 and set(df.protocol[df.error == '']) == {'majority', 'knn', 'first_class'}


def test_curves_and_rankings_with_a_stored_plan_are_the_same(processes, tmp_path):
    asked = dict(sizes=[20, 30], seeds=[0, 1], n_boot=20)
    curves = [learning_curve(Net(), data(), out_dir=tmp_path/str(n), n_jobs=n, **asked) for n in (1, 2)]
    pd.testing.assert_frame_equal(*map(pd.DataFrame, curves), check_exact=True)
    models = {str(seed): Net(seed) for seed in range(3)}
    rank = lambda n: rank_models(models, data(), budget=30, smallest=30, batch_size=8, out_dir=tmp_path/'rank', n_jobs=n)
    apart, here = rank(2), rank(1)
    pd.testing.assert_frame_equal(pd.DataFrame(apart), pd.DataFrame(here), check_exact=True)
    assert set(apart.reading['model']) == set(models)


def test_a_job_that_always_dies_takes_no_other_with_it(monkeypatch):
    tries = []
    def run(self, do, jobs, queue, ahead=2):
        for number, job in jobs:
            tries.append(job)
            if job == 2: return OSError('gone')
            queue.note(number, do(job))
    monkeypatch.setattr(Workers, '_run', run)
    workers = Workers()
    workers.apart = True
    with pytest.warns(UserWarning, match='A worker died'):
        results = workers(lambda job: 10 * job, range(4))
    assert tries.count(2) == 3 and all(tries.count(job) == 1 for job in (0, 1, 3))
    assert results[:2] + results[3:] == [0, 10, 30] and results[2] == Died('its worker died 3 times (OSError: gone)')


def test_what_cannot_travel_is_named(processes, tmp_path):
    net = Net()
    net.lock = threading.Lock()
    with pytest.raises(TypeError, match='The model .*cannot be sent to other processes'): evaluate(net, data(), out_dir=tmp_path)


@pytest.mark.parametrize('cluster, extra', [('ray', 'ray'), ('dask', 'dask'), ('tcp://host:8786', 'dask')])
def test_a_missing_extra_is_named(cluster, extra, monkeypatch):
    for name in ('ray', 'distributed'): monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf'upgradeability\[{extra}\]'):
        with use_cluster(cluster): pass


@pytest.mark.parametrize('cluster', ['http://host', 'spark', 'ray://'])
def test_a_strange_cluster_is_refused(cluster):
    with pytest.raises(ValueError, match='Unknown cluster'):
        with use_cluster(cluster): pass
