"Tables that know their run: what keeps the knowledge, what is read once, what a plain table is told, and runs of version 0.1.0."
import pickle, zipfile
from pathlib import Path
import numpy as np, pandas as pd, pytest, torch
from torch import nn
from upgradeability import Curve, Ranking, Results, evaluate, gains, learning_curve, rank_models, read_predictions, read_results, verify
from upgradeability import evaluation as ev
from upgradeability.plots import plot_training
from upgradeability.words import kind_in, wording
from upgradeability.report import keep_provenance, provenance, show_metrics, show_reading, show_table
from upgradeability.verdicts import verdict, verdict_rank
from upgradeability.verdicts import read_headline, test_predictions as predictions_of


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Linear(6, 5)


def data(kind=None):
    rng = np.random.default_rng(0)
    y = np.arange(72) % 3
    x = (rng.normal(size=(72, 6)) + 2 * np.eye(6)[y]).astype(np.float32)
    return x[:48], y[:48], x[48:], y[48:]


@pytest.fixture(scope='module')
def df(tmp_path_factory):
    return evaluate(net(), data(), protocols='knn, linear_probe', dtype='float32', out_dir=tmp_path_factory.mktemp('run'))


KEEPING = {
    'slice': lambda df: df[:2], 'mask': lambda df: df[df.test.notna()], 'copy': lambda df: df.copy(), 'sorted': lambda df: df.sort_values('test'),
    'query': lambda df: df.query('n_train > 0'), 'assigned': lambda df: df.assign(more=1), 'indexed': lambda df: df.set_index('protocol'),
    'dropped': lambda df: df.drop(columns='seconds'), 'renumbered': lambda df: df.reset_index(drop=True), 'rounded': lambda df: df.round(2),
    'pickled': lambda df: pickle.loads(pickle.dumps(df)), 'group': lambda df: next(part for _, part in df.groupby('protocol')),
    'joined': lambda df: pd.concat([df[:1], df[1:]]), 'loc': lambda df: df.loc[df.protocol == 'knn'], 'head': lambda df: df.head(1)}


@pytest.mark.parametrize('how', KEEPING)
def test_what_pandas_makes_of_it_knows_the_run(df, how):
    made = KEEPING[how](df)
    assert type(made) is Results and made.attrs == df.attrs and made.out_dir == df.out_dir
    assert made.kind is df.kind and set(made.reading['model']) == set(df.model)
    assert made.predictions(made.iloc[0])['test'].meta['protocol'] in set(df.protocol)
    assert '<table' in made._repr_html_()


LOSING = {'columns': lambda df: df[['protocol', 'test']], 'turned': lambda df: df.T, 'means': lambda df: df.groupby('protocol')[['test']].mean(),
          'one column': lambda df: df[['test']]}


@pytest.mark.parametrize('how', LOSING)
def test_without_its_keys_it_is_a_plain_table(df, how):
    made = LOSING[how](df)
    assert type(made) is pd.DataFrame and '<table' in made._repr_html_()


def test_a_table_whose_keys_were_renamed_is_still_shown(df):
    renamed = df.rename(columns={'key': 'hash'})
    assert '<table' in renamed._repr_html_()
    with pytest.raises(ValueError, match='no longer connected to its run'): gains(renamed)


def test_a_row_may_be_named_in_many_ways(df):
    row, key = df.iloc[1], df.key[1]
    named = next(r for r in df.itertuples() if r.key == key)
    parts = df.predictions(key)
    assert all(df.predictions(w) is parts for w in (row, named, df.index[1]))
    assert df.set_index('protocol').predictions(row.protocol) is parts
    assert set(parts) == {'train', 'test'} and np.array_equal(parts['test'].pred, read_predictions(df.out_dir, key)['test'].pred)
    with pytest.raises(ValueError, match='Unknown key'): df.predictions('nothing')
    with pytest.raises(ValueError, match="Several rows have the label 'all'"): df.assign(who='all').set_index('who').predictions('all')
    with pytest.raises(ValueError, match='This row has no predictions'): df.assign(key='').predictions(0)


def test_a_file_is_read_once_until_it_changes(df, monkeypatch):
    calls = []
    monkeypatch.setattr(ev, 'read_predictions', lambda *a: calls.append(a) or read_predictions(*a))
    fresh = read_results(df.out_dir)
    for table in (fresh, fresh[1:], fresh.sort_values('test'), fresh.copy()): table.predictions(fresh.key[1])
    gains(fresh), show_reading(fresh), verdict(fresh)
    assert len(calls) == fresh.key.nunique()
    path = Path(df.out_dir)/'predictions'/f'{fresh.key[1]}.parquet'
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    with pytest.raises(ValueError, match='damaged|checksum'): fresh.predictions(fresh.key[1])
    path.write_bytes(whole)
    assert 'protocol' in fresh.predictions(fresh.key[1])['test'].meta


def test_pickles_hold_no_predictions(df):
    small = len(pickle.dumps(read_results(df.out_dir)))
    for key in df.key: df.predictions(key)
    assert len(pickle.dumps(df)) < small + 1000


def test_it_is_written_like_any_table(df, tmp_path):
    df.to_csv(tmp_path/'t.csv', index=False)
    df.to_parquet(tmp_path/'t.parquet')
    assert (tmp_path/'t.csv').read_bytes() == (Path(df.out_dir)/'results.csv').read_bytes() == pd.DataFrame(df).to_csv(index=False).encode()
    back = pd.read_parquet(tmp_path/'t.parquet')
    assert type(back) is pd.DataFrame and back.attrs == df.attrs
    pd.testing.assert_frame_equal(back, df, check_dtype=False, check_exact=True, check_frame_type=False)
    assert gains(back).equals(gains(df)) and verdict(back) == verdict(df)


def test_it_shows_its_verdict_and_the_table_for_readers(df):
    shown = df._repr_html_()
    assert '<strong><code>linear_probe</code>' in shown and 'accuracy on test' in shown
    assert 'accuracy on test' in repr(df) and 'stored in its .out_dir' in repr(df) and Path(df.out_dir).is_dir()
    assert max(map(len, repr(df).splitlines()[:-1])) < 140
    no_report = df.copy()
    no_report.attrs = {}
    assert '<table' in no_report._repr_html_()


def test_kinds_of_several_tasks(tmp_path):
    x, y, x2, y2 = data()
    both = evaluate(net(), [(x, y, x2, y2), (x2, y2, x, y)], protocols='majority', out_dir=tmp_path)
    assert both.kind.name == 'classification' and both.kind_of(both.task.iloc[1]) is both.kind
    mixed = both.copy()
    mixed.attrs['kinds'] = dict(zip(both.task.unique(), ('classification', 'grades')))
    with pytest.raises(ValueError, match=r'several kinds \(classification, grades\): call kind_of'): mixed.kind
    assert mixed.kind_of(both.task.unique()[1]).name == 'grades' and wording(mixed, both.task.unique()[1]) is mixed.kind_of(both.task.unique()[1]).words
    assert kind_in(pd.DataFrame(dict(task=['t']))).name == 'classification'


@pytest.mark.parametrize('ask', [gains, read_headline, show_metrics, show_reading, provenance, keep_provenance, lambda t: predictions_of(t, 'knn')])
def test_a_plain_table_is_told_how_to_know_its_run(df, ask, tmp_path):
    df.to_csv(tmp_path/'t.csv', index=False)
    for plain in (pd.read_csv(tmp_path/'t.csv', keep_default_na=False), pd.DataFrame(df[['protocol', 'model', 'test']])):
        plain = plain.assign(test=df.test)
        with pytest.raises(ValueError, match=r'read_results\(out_dir\)') as e: ask(plain) if 'key' in plain else gains(plain)
        assert '\n' not in str(e.value)
    assert 'reaches accuracy' in verdict(pd.read_csv(tmp_path/'t.csv')) and len(show_table(pd.read_csv(tmp_path/'t.csv'))) == len(df)
    with pytest.raises(ValueError, match=r'read_results\(out_dir\)'): verdict_rank(pd.DataFrame(dict(rank=[1], model=['a'], p_best=[1.], rung=[0], status=['x'])))


def test_curves_and_rankings_know_their_runs_too(tmp_path):
    curve = learning_curve(net(), data(), sizes=[6, 12, 24, 48], seeds=[0], n_boot=20, out_dir=tmp_path/'curve')
    part = pickle.loads(pickle.dumps(curve[curve.origin == 'measured']))
    assert type(part) is Curve and part.metric == 'accuracy' and part.protocol == 'linear_probe' and part.kind is curve.kind
    assert part.summary.equals(curve.summary) and part.crossings.equals(curve.crossings) and len(part.cells) == 8 and type(part.cells) is Results
    assert set(curve.reading['task']) == set(part.cells.task) and 'labels' in part._repr_html_() and type(curve[['test']]) is pd.DataFrame
    ranking = rank_models({'one': net(), 'two': net(1)}, data(), budget=20., smallest=8, out_dir=tmp_path/'rank')
    part = pickle.loads(pickle.dumps(ranking[:1]))
    assert type(part) is Ranking and part.measure == 'accuracy' and part.kind.name == 'classification' and set(part.reading['model']) == {'one', 'two'}
    assert 'comes first' in part._repr_html_() and type(ranking[['score']]) is pd.DataFrame
    for table in (curve, ranking):
        table.to_parquet(tmp_path/'t.parquet')
        assert pd.read_parquet(tmp_path/'t.parquet').attrs.keys() == table.attrs.keys()


def test_a_run_of_version_0_1_0_is_read(tmp_path):
    "Stored by version 0.1.0: a table with an error, three files of predictions."
    with zipfile.ZipFile(Path(__file__).with_name('run_0_1_0.zip')) as z: z.extractall(tmp_path)
    df = read_results(tmp_path)
    assert df.protocol.tolist() == ['knn', 'linear_probe', 'as_is', 'majority'] and 'class_map' in df.error[2] and df.kind.name == 'classification'
    assert verify(tmp_path).empty and len(gains(df)) == 2 and read_results(tmp_path, 'dfac0cc5149d8afb').equals(df)
    assert all(df.predictions(key)['test'].meta['versions']['upgradeability'] == '0.1.0' for key in df.key if key)
    assert 'reaches accuracy' in verdict(df) and 'numeric type' in str(show_reading(df)) and plot_training(df) is None
    with pytest.raises(ValueError, match='no predictions: it failed'): df.predictions(df.iloc[2])
    again = evaluate(net(), data(), protocols='knn', dtype='float32', out_dir=tmp_path)
    assert len(read_results(tmp_path)) == len(df) + len(again) and verify(tmp_path).empty
