"The same results from a cluster of Ray with two nodes on this machine, whose worker dies once."
import os
from pathlib import Path
import pytest
from joblib import parallel_config
from upgradeability import evaluate
from upgradeability.jobs import use_cluster
from small import assert_same, data, Fragile, Net

os.environ['RAY_USAGE_STATS_ENABLED'] = '0'
os.environ['RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER'] = '0'   # else Ray takes the address of the network for 127.0.0.1
ray = pytest.importorskip('ray')
ASKED = dict(protocols='linear_probe, fine_tune?epochs=1', n_train=[30, 60])


@pytest.fixture(scope='module')
def paths(tmp_path_factory):
    """Ray's processes find `small`; a grammar is hidden from them whose import takes a second in each of the dozen.

    jsonschema can do without it.
    """
    folder = tmp_path_factory.mktemp('hidden')
    (folder/'rfc3987_syntax.py').write_text('raise ImportError')
    with pytest.MonkeyPatch.context() as patch:
        for path in (Path(__file__).parent, folder): patch.setenv('PYTHONPATH', str(path), prepend=os.pathsep)
        yield


@pytest.fixture(scope='module')
def cluster(paths):
    from ray.cluster_utils import Cluster
    node = dict(num_cpus=1, node_ip_address='127.0.0.1', object_store_memory=80_000_000)
    try:
        cluster = Cluster(initialize_head=True, head_node_args=dict(include_dashboard=False, **node))
        cluster.add_node(**node)
    except Exception as e: pytest.skip(f"Ray's own processes did not start in the 15 seconds that it gives them: {e}")
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_ray_gives_the_same_even_if_a_worker_dies(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv('UPGRADEABILITY_CACHE', str(tmp_path/'cache'))
    fragile = Fragile(tmp_path/'died')
    with parallel_config('ray'): df = evaluate(fragile, data(), out_dir=tmp_path/'a', **ASKED)
    assert (tmp_path/'died').exists()
    monkeypatch.setenv('UPGRADEABILITY_CACHE', str(tmp_path/'other'))
    assert_same(df, evaluate(fragile, data(), out_dir=tmp_path/'b', **ASKED))
    with use_cluster('ray'): again = evaluate(Net(), data(), out_dir=tmp_path/'c', **ASKED)
    assert again.test.tolist() == df.test.tolist()
