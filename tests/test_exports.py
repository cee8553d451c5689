"A run for other programs: results.json, the section of a model card, MLflow."
import builtins, json, warnings
from pathlib import Path
import numpy as np, pandas as pd, pytest, torch, yaml
from torch import nn
from upgradeability import evaluate, log_to_mlflow, model_card, verify


@pytest.fixture(scope='module')
def df(tmp_path_factory):
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = (rng.normal(size=(90, 6)) + 2 * np.eye(6)[y]).astype(np.float32)
    torch.manual_seed(0)
    data = (x[:60], y[:60], x[60:], y[60:])
    out_dir = tmp_path_factory.mktemp('run')
    with warnings.catch_warnings(): # of the rows without a control
        warnings.simplefilter('ignore')
        return evaluate(nn.Linear(6, 5), data, protocols='knn, linear_probe, random_probe', dtype='float32', seeds=[0, 1], n_train=40, out_dir=out_dir)


def test_results_json_reads_back_in_full_precision(df):
    path = Path(df.out_dir)/'results.json'
    rows = json.loads(path.read_text(), parse_constant=pytest.fail) # neither NaN nor Infinity
    back = pd.DataFrame(rows, columns=df.columns).astype(df.dtypes.to_dict())
    stored = pd.DataFrame(df)
    for name in df.columns:
        same = (back[name] == stored[name]) | (back[name].isna() & stored[name].isna())
        assert same.all(), name
    failed = df.protocol == 'random_probe' # an object without init= has no control
    assert failed.any() and [rows[i]['test'] for i in np.flatnonzero(failed)] == [None] * failed.sum()


def test_a_changed_results_json_is_found(df):
    path = Path(df.out_dir)/'results.json'
    whole = path.read_bytes()
    assert verify(df.out_dir).empty
    path.write_bytes(whole.replace(repr(float(df.test[0])).encode(), b'0.999', 1))
    assert verify(df.out_dir).stored.tolist() == ['results.json']
    path.unlink()
    assert verify(df.out_dir).empty # a run of an earlier version has none
    path.write_bytes(whole)


def parsed(card):
    front, prose = card.removeprefix('---\n').split('---\n', 1)
    [entry] = yaml.safe_load(front)['model-index']
    return entry, prose


def test_a_card_has_what_the_hub_asks_for(df):
    entry, prose = parsed(model_card(df[df.seed == 0], name='mine', task_type='tabular-classification'))
    assert entry['name'] == 'mine' and len(entry['results']) == 2
    for result in entry['results']:
        assert result['task']['type'] == 'tabular-classification'
        assert result['dataset']['name'] and result['dataset']['type'] and result['dataset']['split'] == 'test'
        [figure] = result['metrics']
        assert figure['type'] == 'accuracy' and isinstance(figure['value'], float)
    kept = df[(df.seed == 0) & df.protocol.isin(['knn', 'linear_probe'])]
    assert [r['metrics'][0]['value'] for r in entry['results']] == kept.test.tolist()
    for row in kept.itertuples(): assert f'{row.test:.3f} [{row.test_low:.3f}, {row.test_high:.3f}]' in prose
    assert 'trained on 40 labels' in prose and 'Gain over `majority`: +' in prose


def test_a_card_of_means_over_seeds(df):
    entry, prose = parsed(model_card(df.over_seeds()))
    assert len(entry['results']) == 2 and 'for new training samples, mean of 2 seeds' in prose


def test_no_folder_of_this_machine_is_on_a_card(df):
    task = f'folder:{Path.home()}/secret/pictures'
    told = df.assign(task=task)
    told.attrs = df.attrs | dict(kinds={task: 'classification'})
    assert str(Path.home()) not in model_card(told)


def test_mlflow_is_imported_late_and_the_error_names_the_extra(df, monkeypatch):
    real = builtins.__import__
    def refuse(name, *args, **kwargs):
        if name.split('.')[0] == 'mlflow': raise ImportError('no mlflow')
        return real(name, *args, **kwargs)
    monkeypatch.setattr(builtins, '__import__', refuse)
    monkeypatch.setattr('importlib.import_module', lambda name, *_: refuse(name))
    with pytest.raises(ImportError, match=r"pip install 'upgradeability\[mlflow\]'"): log_to_mlflow(df)


def test_rows_are_runs_of_mlflow(df, tmp_path, monkeypatch):
    mlflow = pytest.importorskip('mlflow')
    monkeypatch.setenv('MLFLOW_ALLOW_FILE_STORE', 'true')
    uri = (tmp_path/'store').as_uri()
    ids = log_to_mlflow(df, experiment='tried', tracking_uri=uri)
    client = mlflow.MlflowClient(uri)
    assert len(set(ids)) == len(df)
    for run_id, row in zip(ids, df.itertuples()):
        run = client.get_run(run_id)
        assert run.data.params['protocol'] == row.protocol and run.data.tags['upgradeability.key'] == row.key
        assert run.info.status == ('FAILED' if row.error else 'FINISHED')
        assert run.data.metrics.get('test', np.nan) == row.test or np.isnan(row.test)
        assert [f.path for f in client.list_artifacts(run_id)] == ['results.csv']
