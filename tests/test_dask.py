"The same results from a cluster of Dask, whose worker dies once."
import pytest
from joblib import parallel_config
from upgradeability import evaluate
from upgradeability.jobs import use_cluster
from small import assert_same, data, Fragile, Net

distributed = pytest.importorskip('distributed')
ASKED = dict(protocols='linear_probe, fine_tune?epochs=1', n_train=[30, 60])


@pytest.fixture(scope='module')
def client():
    one_each = dict(n_workers=2, threads_per_worker=1)
    with distributed.LocalCluster(dashboard_address=None, host='127.0.0.1', **one_each) as cluster, distributed.Client(cluster) as client:
        yield client


def test_dask_gives_the_same_even_if_a_worker_dies(client, tmp_path, monkeypatch):
    monkeypatch.setenv('UPGRADEABILITY_CACHE', str(tmp_path/'cache'))
    fragile = Fragile(tmp_path/'died')
    with parallel_config('dask'): df = evaluate(fragile, data(), out_dir=tmp_path/'a', **ASKED)
    assert (tmp_path/'died').exists()
    monkeypatch.setenv('UPGRADEABILITY_CACHE', str(tmp_path/'other'))
    assert_same(df, evaluate(fragile, data(), out_dir=tmp_path/'b', **ASKED))
    with use_cluster(client.scheduler.address): again = evaluate(Net(), data(), out_dir=tmp_path/'c', **ASKED)
    assert again.test.tolist() == df.test.tolist()
