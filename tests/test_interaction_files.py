"Files of interactions and items as users have them: separators, headers, dates, lists, addresses."
import datetime
import numpy as np, pandas as pd, pytest
from upgradeability import load_task
from upgradeability.kinds.recommendation_files import _times, read_items

N_USERS, N_ITEMS = 12, 20


def taken(seed=0):
    rng = np.random.default_rng(seed)
    pairs = [(u, i) for u in range(1, N_USERS + 1) for i in rng.choice(np.arange(1, N_ITEMS + 1), 8, replace=False)]
    days = pd.Timestamp('2023-01-01') + pd.to_timedelta(rng.permutation(len(pairs)) * 3, unit='D')
    return pd.DataFrame(dict(user_id=[u for u, _ in pairs], item_id=[int(i) for _, i in pairs], rating=rng.integers(1, 6, len(pairs)), day=days))


def films(): return pd.DataFrame(dict(item_id=range(1, N_ITEMS + 1), title=[f'Film {i}' for i in range(1, N_ITEMS + 1)], genre=['crime', 'travel'] * (N_ITEMS // 2)))


@pytest.fixture
def folder(tmp_path):
    films().to_csv(tmp_path/'items.csv', index=False)
    return tmp_path


def load(folder, frame, options='', name='seen.csv', **more):
    frame.to_csv(folder/name, index=False, **more)
    return load_task(f'interactions:{folder/name}{options}')


def same(a, b): return a.fingerprint == b.fingerprint and all(np.array_equal(a.splits[k], b.splits[k]) for k in b.splits)


def iso(folder): return load(folder, taken().assign(day=taken().day.dt.strftime('%Y-%m-%d')).rename(columns={'day': 'date'}), name='iso.csv')


def said(task): return ' | '.join(task.reading.texts)


# Separators and headers

@pytest.mark.parametrize('ending, sep', [('.csv', ','), ('.tsv', '\t'), ('.inter', '\t'), ('.dat', '::')])
@pytest.mark.parametrize('which', [lambda i: True, lambda i: i % 5 == 2, lambda i: i == 1, lambda i: i == 0], ids=['all', 'some', 'first row', 'header'])
def test_surplus_separators(folder, ending, sep, which):
    frame = taken().rename(columns={'day': 'date'})
    want = iso(folder)
    for table, stem in [(frame, 'seen'), (films(), 'things')]:
        lines = table.to_csv(index=False, sep='\x1f').replace('\x1f', sep).splitlines()
        (folder/f'{stem}{ending}').write_text(''.join(line + sep * which(i) + '\n' for i, line in enumerate(lines)))
    task = load_task(f"interactions:{folder/f'seen{ending}'}?items=things{ending}")
    assert same(task, want) and task.inputs[2] == want.inputs[2]
    (folder/f'things{ending}').write_text('\n'.join([*lines[:4], lines[4] + f'{sep}more']))
    with pytest.raises(ValueError, match=f"things{ending}', line 5: the row has 4 fields.*'more'"): load_task(f"interactions:{folder/f'seen{ending}'}?items=things{ending}")


def test_movielens_files_without_a_header(tmp_path):
    frame = taken().assign(day=lambda d: d.day.astype('datetime64[s]').astype('int64'))
    frame.to_csv(tmp_path/'u.data', sep='\t', header=False, index=False)
    films().assign(day='01-Jan-1995', none=None, link='http://x/y', title='Les Misérables ' + films().title, flag=0).iloc[:, [0, 1, 3, 4, 5, 6]].to_csv(
        tmp_path/'u.item', sep='|', header=False, index=False, encoding='latin-1')
    with pytest.raises(ValueError, match=r"u.data' seems to have no header: the first row looks like data .*\?header=none"): load_task(f"interactions:{tmp_path/'u.data'}")
    columns = '?header=none&user=0&item=1&rating=2&timestamp=3&encoding=latin-1'
    task = load_task(f"interactions:{tmp_path/'u.data'}{columns}&text=1")
    assert len(task.y) == len(frame) and task.inputs[0] == 'Les Misérables Film 1' and 'seconds since 1970' in said(task)
    films().to_csv(tmp_path/'items.csv', index=False)
    assert same(load_task(f"interactions:{tmp_path/'u.data'}{columns}&items=items.csv"), iso(tmp_path))
    assert load_task(task.name).fingerprint == task.fingerprint


def test_double_colons_without_a_header(tmp_path):
    frame = taken().assign(day=lambda d: d.day.astype('datetime64[s]').astype('int64'))
    put = lambda name, table: (tmp_path/name).write_text(table.to_csv(index=False, header=False, sep='\x1f').replace('\x1f', '::'))
    put('ratings.dat', frame), put('movies.dat', films().assign(genre='Crime|Travel', title='Film: one'))
    with pytest.raises(ValueError, match='header=none'): load_task(f"interactions:{tmp_path/'ratings.dat'}?items=movies.dat")
    task = load_task(f"interactions:{tmp_path/'ratings.dat'}?items=movies.dat&header=none&user=0&item=1&rating=2&timestamp=3")
    films().to_csv(tmp_path/'items.csv', index=False)
    assert same_rows(task, iso(tmp_path)) and task.inputs[0] == 'Film: one; Crime, Travel'


def same_rows(a, b): return np.array_equal(a.y, b.y) and all(np.array_equal(a.splits[k], b.splits[k]) for k in b.splits)


def test_items_without_a_header_beside_interactions_with_one(folder):
    films().to_csv(folder/'bare.csv', index=False, header=False)
    frame = taken().assign(date=taken().day.dt.strftime('%Y-%m-%d')).drop(columns='day')
    with pytest.raises(ValueError, match=r"bare.csv' seems to have no header.*\?items_header=none"): load(folder, frame, '?items=bare.csv')
    task = load(folder, frame, '?items=bare.csv&items_header=none')
    assert same(task, iso(folder)) and load_task(task.name).fingerprint == task.fingerprint


def test_quotation_marks_in_titles(folder):
    titles = films().assign(title=['"Open, the film', 'Closed, the film"', '"Quote" and more', *films().title[3:]])
    (folder/'x.item').write_text('item_id:token\ttitle:token_seq\n' + ''.join(f'{i}\t{t}\n' for i, t in zip(titles.item_id, titles.title)))
    assert read_items(folder/'x.item').inputs.items == list(titles.title)


# Dates: the twin with ISO dates is the oracle

FORMS = {'day first': '%d/%m/%Y', 'month first': '%m/%d/%Y', 'dots': '%d.%m.%Y', 'dashes': '%d-%m-%Y', 'slashed iso': '%Y/%m/%d', 'with a time': '%d/%m/%Y 10:30', 'american time': '%m/%d/%Y 01:05:07 PM',
         'zulu': '%Y-%m-%dT10:00:00Z', 'milliseconds': '%Y-%m-%d 10:00:00.123', 'words': '%d-%b-%Y', 'long words': '%B %d, %Y', 'mail': '%a, %d %b %Y 10:00:00 GMT', 'amazon': '%m %d, %Y',
         'compact': '%Y%m%d', 'compact, day first': '%d%m%Y', 'compact, month first': '%m%d%Y'}

@pytest.mark.parametrize('form', FORMS.values(), ids=FORMS)
def test_every_order_gives_the_splits_of_iso(folder, form):
    assert same(load(folder, taken().assign(date=taken().day.dt.strftime(form)).drop(columns='day')), iso(folder))


@pytest.mark.parametrize('scale', [1, 10**3, 10**6, 10**9])
def test_numbers_in_any_unit(folder, scale):
    seconds = taken().day.astype('datetime64[s]').astype('int64')
    task = load(folder, taken().assign(date=seconds * scale).drop(columns='day'))
    assert same(task, iso(folder)) and 'seconds since 1970, from 2023-01-01' in said(task)


def test_dates_as_parquet_holds_them(folder):
    want = iso(folder)
    for name, days in dict(stamps=taken().day, zones=taken().day.dt.tz_localize('Asia/Tokyo'), days=taken().day.dt.date).items():
        taken().assign(date=days).drop(columns='day').to_parquet(folder/f'{name}.parquet')
        assert same(load_task(f"interactions:{folder/f'{name}.parquet'}"), want), name


def ambiguous(): return taken().assign(date=[f'{1 + i % 12:02}/{1 + i // 12 % 12:02}/{2020 + i % 3}' for i in range(len(taken()))]).drop(columns='day')


def test_what_can_be_read_in_two_ways_is_asked_for(folder):
    with pytest.raises(ValueError, match=r"'date' can be read in two ways: row 1, '01/01/2020'.*\?dayfirst=true or \?dayfirst=false"): load(folder, ambiguous())
    for dayfirst, form in [('true', '%d/%m/%Y'), ('false', '%m/%d/%Y')]:
        task = load(folder, ambiguous(), f'?dayfirst={dayfirst}')
        want = load(folder, ambiguous().assign(date=lambda d: pd.to_datetime(d.date, format=form).dt.strftime('%Y-%m-%d')), name='twin.csv')
        assert same(task, want) and f'dayfirst={dayfirst}' in task.name and load_task(task.name).fingerprint == task.fingerprint


def days(*values, **more): return _times(pd.Series(values, name='date'), **more)


@pytest.mark.parametrize('values, message', [
    (['31/01/2024', '01/31/2024'], "dates in two orders: row 1, '31/01/2024' and row 2, '01/31/2024'"),
    (['31/01/2024', '2024-01-31'], "dates of two forms: row 1, '31/01/2024', row 2, '2024-01-31'"),
    (['31/01/24', '01/02/24'], 'years of two digits'),
    (['31/02/2024', '01/02/2024'], "row 1 .*is '31/02/2024': there is no such day"),
    (['2024-01-31 10:00+01:00', '2024-01-31 10:00'], "with a zone and times without one: row 2"),
    (['31/01/2024', 'soon'], "row 2 .*is 'soon'"),
    (['1700000000', '1700000000000'], 'mixes seconds and milliseconds'),
    (['1700000000', '2024-01-31'], "row 2 .*is '2024-01-31'"),
    (['1700000000', 'inf'], "row 2 .*is 'inf'"),
    (['31-Jan-24', '01-Feb-24'], "row 1 .*is '31-Jan-24': where the month is a word, the year needs four digits"),
    (['10:30', '11:30'], "row 1 .*is '10:30'"),
    (['31 Jan 2024 10:00 EST', '31 Jan 2024 11:00 CET'], 'the zone is not known'),
    (['2024-01-31 25:00', '2024-01-31 10:00'], "row 1 .*is '2024-01-31 25:00'"),
    ([None, '2024-01-31'], 'row 1 .*is missing'),
])
def test_times_that_are_refused(values, message):
    with pytest.raises(ValueError, match=message): days(*values)


def test_dayfirst_that_does_not_fit():
    with pytest.raises(ValueError, match="dayfirst=false does not fit column 'date': row 2, '31/01/2024'"): days('01/02/2024', '31/01/2024', dayfirst=False)
    with pytest.raises(ValueError, match="dayfirst=true does not fit column 'date': row 1, '01/31/2024'"): days('01/31/2024', dayfirst=True)


def test_what_dayfirst_can_be(folder):
    with pytest.raises(ValueError, match="dayfirst='maybe': say dayfirst=true or dayfirst=false"): load(folder, ambiguous(), '?dayfirst=maybe')


def test_years_of_two_digits_and_zones():
    seconds, what = days('31/12/99', '01/01/00', dayfirst=True)
    assert np.diff(seconds)[0] == 86400 and 'years of two digits are 1969 to 2068' in what
    seconds, what = days('2024-01-31T12:00:00+02:00', '2024-01-31T05:00:00-0500', '2024-01-31T10:00:00Z')
    assert np.ptp(seconds) == 0 and '3 time zones, all turned into UTC' in what
    noon, midnight = days('01/31/2024 12:00 PM', '01/31/2024 12:00 AM')[0]
    assert noon - midnight == 12 * 3600


def test_a_date_object_column():
    assert np.diff(days(datetime.date(2024, 1, 1), datetime.date(2024, 1, 3))[0])[0] == 2 * 86400


# Ratings, repeats, columns

def test_ratings_that_are_not_there_are_findings(folder):
    task = load(folder, taken().assign(rating=None, date=taken().day.dt.strftime('%Y-%m-%d')))
    found = ' | '.join(e.value for e in task.reading.findings)
    assert "column 'rating' has no ratings" in found and 'no row has a value in rating' in found and 'nan' not in said(task)


def test_what_was_read_is_said(folder):
    task = load(folder, taken().assign(date=taken().day.dt.strftime('%Y-%m-%d'), shop='web'))
    reading = task.reading
    assert sorted(reading['columns not used']) == ['day', 'shop']
    assert 'seen.csv: 96 rows from 97 lines' in said(task) and 'items.csv: 20 rows from 21 lines' in said(task)
    assert reading['first example'] == f"user 1 took item {task.about['items'][task.y[0]]}: {task.inputs[task.y[0]]}"
    assert '(drawn)' in str(reading['splits']) and 'official' not in str(reading['splits'])


def test_items_that_are_described_twice(folder):
    pd.concat([films(), films()[:3].assign(title='again')]).to_csv(folder/'items.csv', index=False)
    task = iso(folder)
    assert task.inputs[0] == 'Film 1; crime' and any('3 rows describe an item again' in e.value for e in task.reading.findings)


# Lists and addresses

GENRES = {'lists': lambda: [['crime', 'noir'], ['travel']] * 10, 'arrays': lambda: [np.array(['crime', 'noir']), np.array(['travel'])] * 10, 'written': lambda: ["['crime', 'noir']", "['travel']"] * 10}

@pytest.mark.parametrize('genres', GENRES.values(), ids=GENRES)
@pytest.mark.parametrize('name', ['things.parquet', 'things.jsonl', 'things.csv'])
@pytest.mark.parametrize('text', [None, 'title,genre'])
def test_lists_of_words_are_read_as_words(folder, genres, name, text):
    table = films().assign(genre=[g.tolist() if isinstance(g, np.ndarray) and name.endswith('csv') else g for g in genres()])
    if name.endswith('parquet'): table.to_parquet(folder/name)
    elif name.endswith('jsonl'): table.to_json(folder/name, orient='records', lines=True)
    else: table.to_csv(folder/name, index=False)
    items = read_items(folder/name, text=text)
    assert items.inputs.items[:2] == ['Film 1; crime, noir', 'Film 2; travel'] and 'words with commas' in ' '.join(items.reading.texts)


def test_objects_that_are_no_text(folder):
    table = films().assign(cast=[[dict(name='Ann', id=1)], [dict(name='Bob', id=2)]] * 10, codes=[[1, 2], [3]] * 10)
    table.to_parquet(folder/'things.parquet')
    items = read_items(folder/'things.parquet')
    assert items.inputs[0].startswith('Film 1; crime') and 'Ann' not in items.inputs[0] and '[' not in items.inputs[0]
    with pytest.raises(ValueError, match=r"Column 'cast' has .* objects, which are no text.*\?text=COLUMN"): read_items(folder/'things.parquet', text='title,cast')
    assert read_items(folder/'things.parquet', text='title,codes').inputs[0] == 'Film 1; 1, 2'


def test_arrays_written_into_csv(folder):
    films().assign(genre="['crime' 'noir'\n 'third']").to_csv(folder/'things.csv', index=False)
    items = read_items(folder/'things.csv')
    assert '[' not in items.inputs[0] and 'written-out lists that cannot be read' in ' '.join(items.reading.texts)


def test_vectors_beside_words(folder):
    films().assign(genre=[['crime', 'noir']] * N_ITEMS, vector=list(np.eye(N_ITEMS))).to_parquet(folder/'things.parquet')
    assert read_items(folder/'things.parquet').medium == 'array'
    assert read_items(folder/'things.parquet', text='title,genre').inputs[0] == 'Film 1; crime, noir'


@pytest.mark.parametrize('address', ['http://x.org/1.png', 'https://x.org/1.png', 'HTTPS://X.ORG/1.png', 's3://bucket/1.png', '//cdn.x.org/1.png', 'data:image/png;base64,iVBO', 'www.x.org/1.png'])
@pytest.mark.parametrize('column', ['image', 'poster'])
def test_addresses_of_pictures_are_refused(folder, address, column):
    films().assign(**{column: address}).to_csv(folder/'items.csv', index=False)
    with pytest.raises(ValueError, match=rf"Column '{column}', row 1 .*: an address, not a file.*\?text=COLUMN"): iso(folder)
    frame = taken().assign(date=taken().day.dt.strftime('%Y-%m-%d')).drop(columns='day')
    assert load(folder, frame, '?text=title').inputs[0] == 'Film 1'
