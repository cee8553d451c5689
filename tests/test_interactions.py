"From files of interactions to a task: what is read, what is refused, and what the split lets one see."
import numpy as np, pandas as pd, pytest
from PIL import Image
from upgradeability import load_task
from upgradeability.kinds.recommendation_files import find_items, items_of_vectors, last_of_all, last_of_each, load_interactions, read_interactions, read_items, split_interactions
from upgradeability.tables import read_table


def loans(n_users=12, n_items=20, seed=0, per_user=(6, 12)):
    rng = np.random.default_rng(seed)
    rows = [(f'u{u}', f'{b:03}', int(rng.integers(1, 6)), 100 * u + 10 * i) for u in range(n_users) for i, b in enumerate(rng.choice(n_items, rng.integers(*per_user), replace=False))]
    return pd.DataFrame(rows, columns=['user_id', 'item_id', 'rating', 'timestamp'])


def books(n=20): return pd.DataFrame(dict(item_id=[f'{i:03}' for i in range(n)], title=[f'Book {i}' for i in range(n)], year=range(1990, 1990 + n), genre=['crime|poetry', 'travel'] * (n // 2)))


@pytest.fixture
def folder(tmp_path):
    loans().to_csv(tmp_path/'loans.csv', index=False)
    books().to_csv(tmp_path/'items.csv', index=False)
    return tmp_path


def write(folder, frame, name='loans.csv', **more):
    frame.to_csv(folder/name, index=False, **more)
    return folder/name


def notes(task): return ' | '.join(task.reading.texts)


# Reading

def test_a_task_from_two_files(folder):
    task = load_task(f"interactions:{folder/'loans.csv'}")
    assert (task.kind.name, task.medium.name, task.metric) == ('recommendation', 'text', 'ndcg@10')
    assert len(task.inputs) == len(task.classes) == 20 and task.inputs[0] == 'Book 0; 1990; crime, poetry'
    assert task.about['items'][7] == '007' and task.classes[7] == 'Book 7'
    assert len(task.y) == len(loans()) == sum(map(len, task.splits.values()))
    assert set(task.origin.values()) == {'drawn'} and task.n_train == len(task.splits['train']) + len(task.splits['valid'])
    assert 'user = user_id' in notes(task) and 'title, year, genre' in notes(task) and 'future' in notes(task)


@pytest.mark.parametrize('suffix', ['.csv', '.tsv', '.parquet'])
def test_the_format_changes_nothing(folder, suffix):
    want = load_interactions(folder/'loans.csv').fingerprint
    frame = loans()
    other = folder/f'other{suffix}'
    if suffix == '.parquet': frame.to_parquet(other)
    else: frame.to_csv(other, index=False, sep='\t' if suffix == '.tsv' else ';')
    assert load_interactions(other).fingerprint == want


def test_ids_that_parquet_holds_as_numbers(tmp_path):
    frame = loans().assign(item_id=lambda d: d.item_id.astype(float))
    frame.to_parquet(tmp_path/'loans.parquet')
    books().assign(item_id=range(20)).to_parquet(tmp_path/'items.parquet')
    assert load_interactions(tmp_path/'loans.parquet').about['items'][:2] == ('0', '1')


def test_atomic_files(tmp_path):
    loans().set_axis(['user_id:token', 'item_id:token', 'rating:float', 'timestamp:float'], axis=1).to_csv(tmp_path/'lib.inter', sep='\t', index=False)
    books().set_axis(['item_id:token', 'movie_title:token_seq', 'release_year:token', 'class:token_seq'], axis=1).assign(**{'movie_title:token_seq': 'A "quoted, title'}).to_csv(
        tmp_path/'lib.item', sep='\t', index=False, quoting=3)
    task = load_interactions(tmp_path)
    assert task.inputs[0] == 'A "quoted, title; 1990; crime, poetry' and task.classes[3] == 'A "quoted, title (003)'
    assert load_interactions(tmp_path/'lib.inter').fingerprint == task.fingerprint


def test_the_order_of_lines_changes_nothing(folder):
    want = load_interactions(folder/'loans.csv')
    shuffled = load_interactions(write(folder, loans().sample(frac=1, random_state=3), 'shuffled.csv'))
    assert shuffled.fingerprint == want.fingerprint and all(np.array_equal(shuffled.splits[k], want.splits[k]) for k in want.splits)
    untimed = [load_interactions(write(folder, f.drop(columns='timestamp'), 'untimed.csv')) for f in (loans(), loans().sample(frac=1, random_state=3))]
    assert untimed[0].fingerprint == untimed[1].fingerprint


def test_the_options_are_part_of_the_name(folder):
    task = load_task(f"interactions:{folder/'loans.csv'}?min_rating=3&split=global&text=title")
    assert task.name.endswith('loans.csv?min_rating=3&text=title&split=global') and load_task(task.name).fingerprint == task.fingerprint
    assert task.inputs[0] == 'Book 0' and (loans().rating >= 3).sum() == len(task.y)


def test_named_columns(folder):
    write(folder, loans().set_axis(['who', 'what', 'liked', 'when'], axis=1), 'odd.csv')
    task = load_task(f"interactions:{folder/'odd.csv'}?user=who&item=what&rating=liked&timestamp=when")
    assert np.array_equal(task.y, load_interactions(folder/'loans.csv').y)


def test_dates_are_times(folder):
    dated = loans().assign(timestamp=lambda d: pd.to_datetime(d.timestamp, unit='D').dt.strftime('%Y-%m-%d'))
    assert load_interactions(write(folder, dated, 'dated.csv')).fingerprint == load_interactions(folder/'loans.csv').fingerprint


def test_vectors_in_place_of_texts(folder, tmp_path):
    x = np.random.default_rng(0).normal(size=(20, 4))
    np.savez(tmp_path/'items.npz', ids=books().item_id.to_numpy(str), x=x)
    task = load_interactions(folder/'loans.csv', items='items.npz')
    assert task.medium.name == 'array' and np.allclose(task.inputs[3], x[3])
    pd.DataFrame(dict(item_id=books().item_id, vector=list(x))).to_parquet(tmp_path/'v.parquet')
    assert np.allclose(load_interactions(folder/'loans.csv', items='v.parquet').inputs[3], x[3])
    np.save(tmp_path/'v.npy', x)
    numbered = write(folder, loans().assign(item_id=lambda d: d.item_id.astype(int)), 'numbered.csv')
    assert np.allclose(load_interactions(numbered, items='v.npy').inputs[3], x[3])


def test_pictures_in_place_of_texts(folder):
    for i in range(20): Image.new('RGB', (8, 8), (10 * i, 0, 0)).save(folder/f'{i}.png')
    write(folder, books().assign(image=[f'{i}.png' for i in range(20)]), 'shown.csv')
    task = load_task(f"interactions:{folder/'loans.csv'}?items=shown.csv")
    assert task.medium.name == 'image' and task.inputs[3].getpixel((0, 0)) == (30, 0, 0) and task.classes[3] == 'Book 3'
    assert load_task(f"interactions:{folder/'loans.csv'}?items=shown.csv&text=title").medium.name == 'text'


# What counts

def test_repeats_are_left_out_and_the_earliest_stays(folder):
    late = loans()[:7].assign(timestamp=99_999)
    task = load_interactions(write(folder, pd.concat([late, loans()]), 'twice.csv'))
    assert '7 repeated interactions' in notes(task) and task.fingerprint == load_interactions(folder/'loans.csv').fingerprint


def test_low_ratings_count_unless_a_threshold_is_given(folder):
    frame, said = read_interactions(folder/'loans.csv')
    assert len(frame) == len(loans()) and 'are not used' in ' '.join(said.texts)
    assert len(read_interactions(folder/'loans.csv', min_rating=4)[0]) == (loans().rating >= 4).sum()


def test_users_with_few_interactions_are_in_train_only(folder):
    few = pd.DataFrame([('shy', f'{i:03}', 5, i) for i in range(4)], columns=loans().columns)
    task = load_interactions(write(folder, pd.concat([loans(), few]), 'few.csv'))
    shy = task.about['users'].index('shy')
    assert (task.groups[task.splits['train']] == shy).sum() == 4 and '1 of 13 users have fewer than 5' in notes(task)


def test_items_that_nobody_took_in_train(folder):
    frame = loans()
    last = frame.groupby('user_id').timestamp.idxmax()
    frame.loc[last[:2], 'item_id'] = ['998', '999']
    write(folder, pd.concat([books(), pd.DataFrame(dict(item_id=['998', '999', '1000'], title=['New', 'Newer', 'Idle'], year=2024, genre='travel'))]), 'more_items.csv')
    task = load_interactions(write(folder, frame, 'more.csv'))
    assert '2 of' in notes(task) and 'cold start' in notes(task) and 'were taken by no user' in notes(task)


def test_items_without_a_description(folder):
    write(folder, books()[:19], 'items.csv')
    lost = (loans().item_id == '019').sum()
    task = load_interactions(folder/'loans.csv')
    assert lost and f'1 items without a description were left out with their {lost} interactions' in notes(task) and len(task.y) == len(loans()) - lost
    write(folder, books().assign(title=[None, *books().title[1:]], year=None, genre=None), 'items.csv')
    empty = load_interactions(folder/'loans.csv')
    assert '1 items have an empty description' in notes(empty) and empty.inputs[0] == '' and empty.classes[0] == '000'


# Splits

def test_each_users_last_fifth():
    user = np.repeat([0, 1, 2, 3], [4, 5, 9, 10])
    test = last_of_each(user)
    assert [int(test[user == u].sum()) for u in range(4)] == [0, 1, 1, 2] and test[8] and test[-2:].all()


def test_by_user_everything_in_test_is_later_than_the_same_users_train(folder):
    task = load_interactions(folder/'loans.csv')
    frame = loans().set_index(['user_id', 'item_id']).timestamp
    time = np.array([frame[task.about['users'][u], task.about['items'][i]] for u, i in zip(task.groups, task.y)])
    for u in range(12):
        by = {k: time[rows[task.groups[rows] == u]] for k, rows in task.splits.items()}
        assert by['train'].max() < by['valid'].min(initial=10**9) and max(by['train'].max(), by['valid'].max(initial=-1)) < by['test'].min()
        assert len(by['test']) == sum(map(len, by.values())) // 5


def test_global_everything_in_test_is_later_than_all_train(folder):
    task = load_interactions(folder/'loans.csv', split='global')
    frame = loans().set_index(['user_id', 'item_id']).timestamp
    time = np.array([frame[task.about['users'][u], task.about['items'][i]] for u, i in zip(task.groups, task.y)])
    assert time[task.splits['train']].max() < time[task.splits['valid']].min() <= time[task.splits['valid']].max() < time[task.splits['test']].min()
    strangers = len(np.setdiff1d(task.groups[task.splits['test']], task.groups[np.r_[task.splits['train'], task.splits['valid']]]))
    assert strangers and f'{strangers} of' in notes(task) and 'no history' in notes(task)


def test_moments_stay_together():
    assert last_of_all(np.array([1, 1, 1, 2, 3, 3, 3, 3, 3, 3])).sum() == 0 # the cut falls into the last moment
    assert last_of_all(np.array([1, 1, 1, 2, 2, 2, 2, 2, 3, 3])).tolist() == [False] * 8 + [True] * 2


def test_without_times_the_seed_draws(folder):
    path = write(folder, loans().drop(columns='timestamp'), 'untimed.csv')
    a, b, c = (load_interactions(path, split_seed=s) for s in (0, 0, 1))
    assert a.fingerprint == b.fingerprint != c.fingerprint and 'drawn with the seed' in notes(a)
    assert [(a.groups[a.splits['test']] == u).sum() for u in range(12)] == [n // 5 for n in np.bincount(a.groups)]


def test_splits_are_disjoint_and_complete():
    user, time = np.sort(np.random.default_rng(0).integers(0, 9, 200)), np.arange(200)
    for how in ('time', 'global', 'random'):
        parts = split_interactions(user, time, how)
        assert np.array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(200))


# What is refused

def cell(row, column, value):
    frame = loans().astype(object)
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize('frame, said', [
    (cell(6, 'rating', '4 stars'), r"Column 'rating', row 7 .* is '4 stars': a rating should be a number.*rating=none"),
    (cell(3, 'timestamp', 'soon'), r"Column 'timestamp', row 4 .* is 'soon'"),
    (cell(3, 'timestamp', None), r"Column 'timestamp', row 4 .* is missing"),
    (cell(0, 'user_id', None), r"Column 'user_id', row 1 .* is missing: every row needs an id"),
    (loans().rename(columns={'user_id': 'who'}), r"is the user\? It has the columns 'who'.*\?user=COLUMN"),
    (loans()[:0], 'the table is empty'),
    (loans().assign(item_id='x' + loans().item_id), "No item of the interactions has a description: their ids look like 'x"),
    (loans().groupby('user_id').head(3), 'none of the 12 users has 5 interactions'),
])
def test_bad_tables(folder, frame, said):
    with pytest.raises(ValueError, match=said): load_interactions(write(folder, frame, 'bad.csv'))


@pytest.mark.parametrize('options, said', [
    ('?user=usr_id', "Did you mean 'user_id'"),
    ('?min_rating=6', 'No interaction is rated 6 or higher'),
    ('?min_rating=high', 'needs a number'),
    ('?min_rating=4&rating=none', 'needs a number and a column of ratings'),
    ('?split=golbal', "Did you mean 'global'"),
    ('?split=global&timestamp=none', 'needs times'),
    ('?text=titel', "Did you mean 'title'"),
    ('?encoding=utf-99', "Unknown encoding 'utf-99'"),
    ('?splt=global', "Did you mean 'split'"),
])
def test_bad_options(folder, options, said):
    with pytest.raises(ValueError, match=said): load_task(f"interactions:{folder/'loans.csv'}{options}")


def test_another_encoding(folder):
    (folder/'items.csv').write_bytes(books().assign(title='Misérables').to_csv(index=False).encode('latin-1'))
    with pytest.raises(ValueError, match=r'items.csv.*is not in utf-8.*\?encoding=latin-1'): load_interactions(folder/'loans.csv')
    assert load_task(f"interactions:{folder/'loans.csv'}?encoding=latin-1").inputs[0].startswith('Misérables')


def test_missing_files(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match='no file or folder'): load_interactions(folder/'lost.csv')
    (folder/'items.csv').unlink()
    with pytest.raises(FileNotFoundError, match=r'No description of the items.*\?items=PATH'): load_interactions(folder/'loans.csv')
    with pytest.raises(FileNotFoundError, match="no items file 'lost.csv'"): find_items(folder/'loans.csv', 'lost.csv')
    with pytest.raises(ValueError, match='should have one NAME.inter'): load_interactions(folder)


def test_items_that_cannot_be_used(folder):
    write(folder, books()[['item_id']].assign(price=3.5), 'items.csv')
    with pytest.raises(ValueError, match=r'No column describes the items.*\?text=COLUMN'): load_interactions(folder/'loans.csv')
    with pytest.raises(ValueError, match='one vector per item'): items_of_vectors([1, 2, 3], np.eye(2))
    with pytest.raises(ValueError, match="'1' has more than one vector"): items_of_vectors([1, 1], np.eye(2))
    write(folder, books().rename(columns={'item_id': 'nr'}), 'items.csv')
    with pytest.raises(ValueError, match="is the item's id"): read_items(folder/'items.csv')


def test_no_table(tmp_path):
    (tmp_path/'empty.csv').write_text('')
    (tmp_path/'x.pdf').write_text('')
    with pytest.raises(ValueError, match='is no table'): read_table(tmp_path/'empty.csv')
    with pytest.raises(ValueError, match='no table that can be read'): read_table(tmp_path/'x.pdf')
