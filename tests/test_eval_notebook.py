"The notebook `eval` through papermill, from an empty folder, as a user would run it."
import json, os, subprocess, sys
import numpy as np, pandas as pd, pytest, torch, torchvision
from PIL import Image
from upgradeability.evaluation import COLUMNS, gains, read_predictions, verify

FIGURES = ['scores', 'gains', 'parts', 'confusion', 'cases', 'training']


def papermill(folder, *parameters, **env):
    "Run `papermill eval.ipynb out.ipynb` in an empty folder; no proxy leads anywhere, so nothing is downloaded."
    folder.mkdir(exist_ok=True)
    arguments = [text for name, value in parameters for text in ('-p', name, str(value))]
    closed = dict.fromkeys(('http_proxy', 'https_proxy', 'HTTPS_PROXY', 'HTTP_PROXY'), 'http://127.0.0.1:9')
    return subprocess.run([sys.executable, '-m', 'papermill', 'eval.ipynb', 'out.ipynb', *arguments, '--no-progress-bar'], cwd=folder,
                          env={**os.environ, **closed, 'no_proxy': '', 'OMP_NUM_THREADS': '2', **env}, capture_output=True, text=True, timeout=900)


def finished(folder, *parameters, **env):
    done = papermill(folder, *parameters, **env)
    assert done.returncode == 0, done.stderr[-3000:]
    return pd.read_parquet(folder/'runs'/'eval'/'results.parquet')


def outputs(folder):
    cells = json.loads((folder/'out.ipynb').read_text(encoding='utf-8'))['cells']
    return [o for c in cells for o in c.get('outputs', [])]


@pytest.fixture(scope='module')
def default(tmp_path_factory):
    "The notebook as it is, but for the number of labels."
    folder = tmp_path_factory.mktemp('default')
    return folder, finished(folder, ('n_train', 100))


def test_default(default):
    folder, df = default
    run = folder/'runs'/'eval'
    assert list(df.columns) == COLUMNS and df.protocol.tolist() == ['majority', 'knn', 'linear_probe', 'random_probe'] and (df.error == '').all()
    assert (df.n_train == 100).all() and df.test[2] > .6 > .2 > df.test[0] and verify(run).empty
    assert set(gains(run).baseline) == {'majority', 'random_probe'}
    assert pd.read_csv(run/'results.csv').key.tolist() == df.key.tolist()
    for key in df.key: assert set(read_predictions(run, key)) == {'train', 'test'}
    assert len(json.loads((run/'provenance.json').read_text(encoding='utf-8'))['runs']) == 4


def test_default_pictures_and_outputs(default):
    folder, _ = default
    kept = {p.name for p in (folder/'runs'/'eval').iterdir()}
    shown = [f for f in FIGURES if f'{f}.svg' in kept]
    assert len(shown) >= 5 and {f'{f}.png' for f in shown} <= kept
    assert not [o for o in outputs(folder) if o['output_type'] == 'error' or o.get('name') == 'stderr']
    assert sum('image/png' in o.get('data', {}) for o in outputs(folder)) >= 5
    assert {p.name for p in folder.iterdir()} == {'out.ipynb', 'runs'}


def test_unknown_parameter(tmp_path):
    done = papermill(tmp_path/'here', ('protocol', 'knn'))
    assert done.returncode == 1 and "Unknown parameter 'protocol'. Did you mean 'protocols'?" in done.stderr
    assert not (tmp_path/'here'/'runs').exists()


def two_classes(folder):
    "Twenty small pictures, bright and dark, in class folders."
    rng = np.random.default_rng(0)
    for name, low in [('bright', 128), ('dark', 0)]:
        (folder/name).mkdir(parents=True)
        for i in range(10): Image.fromarray(rng.integers(low, low + 128, (32, 32, 3), np.uint8)).save(folder/name/f'{i}.png')
    return f'folder:{folder}'


def test_resnet50_without_its_weights(tmp_path):
    "Which file is missing, where it belongs, and what runs without it; the table is there with the reason in each row."
    here, torch_home = tmp_path/'here', tmp_path/'torch'
    done = papermill(here, ('model', 'resnet50'), ('task', two_classes(tmp_path/'pictures')), TORCH_HOME=str(torch_home))
    assert done.returncode == 1
    for words in ("'torchvision:resnet50:IMAGENET1K_V2'", "'resnet50-11ad3fa6.pth'", str(torch_home/'hub'/'checkpoints'), 'bundled:efficientnet_lite0'): assert words in done.stderr, words
    df = pd.read_parquet(here/'runs'/'eval'/'results.parquet')
    asked = df[df.protocol != 'majority'] # which needs no network
    assert asked.test.isna().all() and asked.error.str.contains('resnet50-11ad3fa6.pth').all() and df.test.notna().sum() == 1


def test_resnet50_with_a_file_of_that_name(tmp_path):
    checkpoints = tmp_path/'torch'/'hub'/'checkpoints'
    checkpoints.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet50().state_dict(), checkpoints/'resnet50-11ad3fa6.pth')
    df = finished(tmp_path/'here', ('model', 'resnet50'), ('task', two_classes(tmp_path/'pictures')), ('protocols', 'linear_probe'), ('n_train', 10), TORCH_HOME=str(tmp_path/'torch'))
    assert (df.model == 'torchvision:resnet50:IMAGENET1K_V2').all() and df.protocol.tolist() == ['linear_probe', 'majority'] and (df.error == '').all()


def test_cifar10_pictures(shared_data, tmp_path):
    "`as_is` by the shipped table: a ceiling of .9, which the report mentions."
    for part, n in [('train', 5), ('test', 10)]:
        for source in sorted((shared_data/'cifar10-jpeg'/part).iterdir()):
            (tmp_path/'cifar'/part/source.name).mkdir(parents=True)
            for f in sorted(source.iterdir())[:n]: (tmp_path/'cifar'/part/source.name/f.name).symlink_to(f)
    df = finished(tmp_path/'here', ('task', f"folder:{tmp_path/'cifar'}"), ('protocols', '[as_is, knn, linear_probe]'), ('n_train', 50))
    assert df.protocol.tolist() == ['as_is', 'knn', 'linear_probe', 'majority'] and (df.error == '').all() and (df.n_test == 100).all()
    assert df.test[2] > .4 > df.test[3] == .1
    assert read_predictions(tmp_path/'here'/'runs'/'eval', df.key[0])['test'].meta['ceiling'] == .9
    assert any('no accuracy above 0.900' in str(o.get('data')) for o in outputs(tmp_path/'here'))
