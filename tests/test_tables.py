"Tables as users have them: surplus separators, quotation marks, missing headers, encodings; the right rows, or a refusal with its line."
import json
import numpy as np, pandas as pd, pytest
from upgradeability import load_task
from upgradeability.tables import odd_characters, read_table, read_text

WORDS = dict(card='card delivery arrive post', rate='exchange rate euro dollar', lost='lost stolen thief block')


def examples(n=60, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.resize(list(WORDS), n)
    return pd.DataFrame(dict(text=[f"my {' '.join(rng.choice(WORDS[c].split(), 3))} question {i}" for i, c in enumerate(labels)], label=labels))


def put(path, text, encoding='utf-8'):
    path.write_bytes(text.encode(encoding))
    return path


def lines(frame, sep=',', header=True): return frame.to_csv(index=False, sep=sep, header=header)


def texts_and_labels(task): return list(zip(task.inputs.items, [task.classes[c] for c in task.y]))


def findings(task): return ' | '.join(f'{e.about}: {e.value}' for e in task.reading.findings)


def same(task, frame): return texts_and_labels(task) == list(zip(frame.text, frame.label))


SEPARATORS = pytest.mark.parametrize('ending, sep', [('.csv', ','), ('.csv', ';'), ('.csv', '|'), ('.tsv', '\t'), ('.txt', '\t'), ('.dat', '::')])


# Surplus separators

@SEPARATORS
@pytest.mark.parametrize('which', ['all', 'header only', 'rows only', 'some rows', 'first row only', 'two each'])
def test_surplus_separators_move_nothing(tmp_path, ending, sep, which):
    frame = examples().assign(channel=np.resize(['web', 'app'], 60))
    given = lines(frame, '\x1f').replace('\x1f', sep).splitlines()
    surplus = {'all': lambda i: 1, 'header only': lambda i: i == 0, 'rows only': lambda i: i > 0, 'some rows': lambda i: i % 7 == 3, 'first row only': lambda i: i == 1,
               'two each': lambda i: 2}[which]
    path = put(tmp_path/f't{ending}', ''.join(line + sep * surplus(i) + '\n' for i, line in enumerate(given)))
    task = load_task(f'csv:{path}?text=text&label=label')
    assert same(task, frame) and 'surplus separators' in task.reading


@SEPARATORS
@pytest.mark.parametrize('row', [0, 17, 59])
def test_a_surplus_value_is_refused_with_its_line(tmp_path, ending, sep, row):
    given = lines(examples(), '\x1f').replace('\x1f', sep).splitlines()
    given[row + 1] += f'{sep}more'
    with pytest.raises(ValueError, match=rf"t{ending}', line {row + 2}: the row has 3 fields, and the header has 2 .*'more' belongs to no column"):
        load_task(f"csv:{put(tmp_path/f't{ending}', chr(10).join(given))}?text=text&label=label")


@SEPARATORS
def test_a_row_with_too_few_fields_is_refused_with_its_line(tmp_path, ending, sep):
    given = lines(examples(), '\x1f').replace('\x1f', sep).splitlines()
    given[9] = 'torn'
    with pytest.raises(ValueError, match=rf"t{ending}', line 10: the row has 1 field, and the header has 2"):
        load_task(f"csv:{put(tmp_path/f't{ending}', chr(10).join(given))}?text=text&label=label")


def test_row_names_that_the_header_lacks_are_no_index(tmp_path):
    "As R's write.table writes them."
    rows = ''.join(f'{i},{t},{c}\n' for i, (t, c) in enumerate(examples().itertuples(index=False), 1))
    with pytest.raises(ValueError, match='line 2: the row has 3 fields'): load_task(f"csv:{put(tmp_path/'t.csv', 'text,label' + chr(10) + rows)}")


def test_an_index_with_an_empty_name_is_a_column(tmp_path):
    examples().to_csv(tmp_path/'t.csv')
    assert same(load_task(f"csv:{tmp_path/'t.csv'}"), examples())


def test_lines_of_separators_only_are_blank(tmp_path):
    task = load_task(f"csv:{put(tmp_path/'t.csv', lines(examples()) + ',' + chr(10) + chr(10) + ',' + chr(10))}")
    assert same(task, examples()) and '60 rows from 64 lines (1 of the header, 3 blank)' in task.reading['rows']


# Quotation marks

def test_a_stray_quotation_mark_swallows_nothing(tmp_path):
    frame = examples()
    frame.loc[10, 'text'] = '"' + frame.text[10]
    frame.loc[30, 'text'] += '"'
    for ending, sep in [('.tsv', '\t'), ('.txt', '\t'), ('.csv', ','), ('.csv', '|')]:
        path = put(tmp_path/f't{ending}', f'text{sep}label\n' + ''.join(f'{t}{sep}{c}\n' for t, c in frame.itertuples(index=False)))
        task = load_task(f'csv:{path}')
        assert same(task, frame), ending
        assert '60 rows from 61 lines' in task.reading['rows'] and '(1 such)' in task.reading['quotation marks']


@pytest.mark.parametrize('ending, sep', [('.csv', ','), ('.tsv', '\t'), ('.csv', ';'), ('.csv', '|')])
@pytest.mark.parametrize('quoting', [0, 1])
def test_what_pandas_writes_is_read_as_it_was(tmp_path, ending, sep, quoting):
    frame = examples()
    frame.loc[3, 'text'] = f'two\nlines and a {sep} divider'
    frame.loc[5, 'text'] = 'a "quoted" word'
    frame.loc[8, 'text'] = '"all of it"'
    frame.to_csv(tmp_path/f't{ending}', index=False, sep=sep, quoting=quoting)
    task = load_task(f"csv:{tmp_path/f't{ending}'}")
    assert same(task, frame) and '1 within quotation marks' in task.reading['rows']


def test_quotes_within_fields_are_characters(tmp_path):
    frame = examples()
    frame.loc[3, 'text'] = 'he said "no" and left'
    path = put(tmp_path/'u.tsv', 'text\tlabel\n' + ''.join(f'{t}\t{c}\n' for t, c in frame.itertuples(index=False)))
    assert same(load_task(f'csv:{path}'), frame)


def test_marks_escaped_by_a_backslash(tmp_path):
    path = put(tmp_path/'t.csv', 'text,label\n' + ''.join(f'"so \\"great\\", {t}",{c}\n' for t, c in examples().itertuples(index=False)))
    task = load_task(f'csv:{path}')
    assert task.inputs[0] == f'so "great", {examples().text[0]}' and 'backslash' in task.reading['quotation marks']


def test_a_mark_that_never_closes_is_refused_with_its_line(tmp_path):
    given = lines(examples()).splitlines()
    given[4] = '"open, and never closed,card'
    with pytest.raises(ValueError, match=r"t\.csv', line \d+"): load_task(f"csv:{put(tmp_path/'t.csv', chr(10).join(given))}")


def test_swallowed_rows_are_a_finding_where_quotation_marks_are_needed(tmp_path):
    frame = examples()
    given = ['text,label', *(f'{t},{c}' for t, c in frame.itertuples(index=False)), '"one, two",card']
    given[11] = '"' + given[11]
    given[31] = given[31].replace(',', '",')
    task = load_task(f"csv:{put(tmp_path/'t.csv', chr(10).join(given))}")
    assert 'the row at line 12 goes over 21 lines that look like rows of their own' in findings(task)
    poem = frame.assign(text=['one, two\nthree\nfour, five\nsix', *frame.text[1:]])
    assert not load_task(f"csv:{put(tmp_path/'u.csv', lines(poem))}").reading.findings


@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_line_ends(tmp_path, end):
    path = put(tmp_path/'t.csv', lines(examples()).replace('\n', end))
    assert same(load_task(f'csv:{path}'), examples()) and '60 rows from 61 lines' in load_task(f'csv:{path}').reading['rows']


def test_long_fields_and_line_separators_of_unicode(tmp_path):
    frame = examples()
    frame.loc[2, 'text'] = 'word ' * 40_000 + 'end'
    frame.loc[3, 'text'] = 'one\u2028two\x0bthree'
    assert same(load_task(f"csv:{put(tmp_path/'t.csv', lines(frame))}"), frame)


# Header

GOOD_HEADERS = {
    'usual': examples(),
    'a label column called like a class': examples().assign(label=np.resize(['spam', 'ham'], 60)).set_axis(['sms', 'spam'], axis=1),
    'a usual text beside a class': examples().assign(label=np.resize(['spam', 'ham'], 60)).set_axis(['tweet', 'spam'], axis=1),
    'single words': pd.DataFrame(dict(word=[f'w{chr(97 + i % 26)}{i}' for i in range(60)], sentiment=np.resize(['good', 'bad'], 60))),
    'a word that is its own name': pd.DataFrame(dict(word=['word', *(f'w{i}' for i in range(59))], sentiment=np.resize(['good', 'bad'], 60))),
    'questions': examples().set_axis(['What did you ask us about?', 'Which team answered it?'], axis=1),
    'numbers': pd.DataFrame(dict(phrase=examples().text, value=np.resize([1, 2, 3], 60))),
    'pandas without names': pd.DataFrame(examples().to_numpy()),
    'v1 v2': examples().set_axis(['v2', 'v1'], axis=1)[['v1', 'v2']],
    'years': pd.DataFrame({'id': range(60), 'text': examples().text, '2019': range(60), '2020': range(60)}),
    'one column': examples()[['text']],
    'few rows': examples(3),
}

@pytest.mark.parametrize('frame', GOOD_HEADERS.values(), ids=GOOD_HEADERS)
def test_a_header_is_a_header(tmp_path, frame):
    read = read_table(put(tmp_path/'t.csv', lines(frame))).frame
    assert list(read.columns) == list(map(str, frame.columns)) and len(read) == len(frame)


NO_HEADERS = {
    'label first': examples()[['label', 'text']],
    'text first': examples(),
    'numbers as labels': examples().assign(label=np.resize([0, 1], 60)),
    'single words': pd.DataFrame(dict(word=[f'w{chr(97 + i % 26)}{i}' for i in range(60)], label=np.resize(['good', 'bad'], 60))),
    'with ids': examples().assign(id=range(60))[['id', 'text', 'label']],
    'yes and no': examples().assign(label=np.resize(['no', 'yes'], 60)),
    'a label that is a usual name': examples().assign(label=np.resize(['question', 'comment'], 60)),
    'with dates': examples().assign(day='2024-01-31'),
}

@pytest.mark.parametrize('frame', NO_HEADERS.values(), ids=NO_HEADERS)
@pytest.mark.parametrize('sep', [',', '\t'])
def test_a_missing_header_is_said(tmp_path, frame, sep):
    path = put(tmp_path/('t.csv' if sep == ',' else 't.tsv'), lines(frame, sep, header=False))
    with pytest.raises(ValueError, match=r'seems to have no header.*\?header=none.*\?header=first'): read_table(path)
    read = read_table(path, header='none')
    assert list(read.frame.columns) == [str(j) for j in range(frame.shape[1])] and len(read.frame) == 60
    assert read.frame.iloc[0].tolist() == frame.astype(str).iloc[0].tolist()
    assert len(read_table(path, header='first').frame) == 59


@pytest.mark.parametrize('said', ['none', 'false', 'None'])
def test_columns_without_names_are_numbers(tmp_path, said):
    path = put(tmp_path/'t.csv', lines(examples()[['label', 'text']], header=False))
    task = load_task(f'csv:{path}?header={said}&text=1&label=0')
    assert same(task, examples()) and '60 rows from 60 lines' in task.reading['rows']


def test_what_header_can_be(tmp_path):
    with pytest.raises(ValueError, match="header='maybe': write header=none"): load_task(f"csv:{put(tmp_path/'t.csv', lines(examples()))}?header=maybe")


def test_doubt_is_a_finding(tmp_path):
    frame = GOOD_HEADERS['a label column called like a class']
    assert 'some of it looks like data' in read_table(put(tmp_path/'t.csv', lines(frame))).reading.findings[0].value
    assert not read_table(put(tmp_path/'u.csv', lines(examples()))).reading.findings


def test_files_put_behind_one_another(tmp_path):
    task = load_task(f"csv:{put(tmp_path/'t.csv', lines(examples()[:30]) + lines(examples()[30:]))}")
    assert same(task, examples()) and '1 row with the names of the header once more' in findings(task)


def test_names(tmp_path):
    frame = examples().assign(again=1).set_axis([' text ', 'label', 'label'], axis=1)
    read = read_table(put(tmp_path/'t.csv', lines(frame)))
    assert list(read.frame.columns) == ['text', 'label', 'label.1'] and 'label.1' in read.reading.findings[0].value


def test_columns_without_a_value(tmp_path):
    task = load_task(f"csv:{put(tmp_path/'t.csv', lines(examples().assign(note=None, other=None)))}")
    assert same(task, examples()) and 'no row has a value in note, other' in findings(task)


# Encodings

def test_windows_encoding_is_proposed_where_it_fits(tmp_path):
    frame = examples().assign(text='\u201c' + examples().text + '\u201d costs 5 \u20ac')
    path = put(tmp_path/'t.csv', lines(frame), 'cp1252')
    with pytest.raises(ValueError, match=r'line 2 contains the byte 0x93.*\?encoding=cp1252') as said: load_task(f'csv:{path}')
    assert 'latin' not in str(said.value) and '\u201cmy' in str(said.value)
    right, wrong = (load_task(f'csv:{path}?encoding={e}') for e in ('cp1252', 'latin-1'))
    assert same(right, frame) and not right.reading.findings and '(180 such)' in findings(wrong)


@pytest.mark.parametrize('stored, text', [('latin-1', 'naïve'), ('utf-16', 'naïve'), ('utf-16-le', 'naïve'), ('utf-16-be', 'naïve'), ('utf-32', 'naïve'), ('shift_jis', 'こんにちは'), ('gb18030', '你好'),
                                          ('cp1251', 'Привет')])
@pytest.mark.parametrize('given', ['utf-8', 'ascii', 'utf-16'])
def test_the_proposal_is_never_what_was_given(tmp_path, stored, text, given):
    path = put(tmp_path/'t.csv', f'text,label\n{text},a\nother,b\n', stored)
    try: read_text(path, given)
    except ValueError as e: assert f'?encoding={given}' not in str(e)
    assert text in read_text(path, stored)


@pytest.mark.parametrize('name', ['rot13', 'base64', 'hex', 'zip', 'uu'])
def test_what_gives_no_text_is_no_encoding(tmp_path, name):
    with pytest.raises(ValueError, match=f"'{name}' does not turn bytes into text"): load_task(f"csv:{put(tmp_path/'t.csv', lines(examples()))}?encoding={name}")


@pytest.mark.parametrize('name', ['utf-99', 'x' * 5000, '12', ''])
def test_unknown_encodings(tmp_path, name):
    with pytest.raises(ValueError, match='Unknown encoding') as said: read_text(put(tmp_path/'t.csv', lines(examples())), name)
    assert len(str(said.value)) < 300


def test_utf8_read_as_something_else(tmp_path):
    path = put(tmp_path/'t.csv', lines(examples().assign(text='café ' + examples().text)))
    for encoding in ('latin-1', 'cp1252'): assert 'look like utf-8 that was read as something else (60 such)' in findings(load_task(f'csv:{path}?encoding={encoding}'))
    for honest in ('„Menü“', '«été»', 'Ärger und Öl', 'SÃO PAULO', '你好'): assert not len(odd_characters(honest)), honest


def test_lone_surrogates_are_replaced_and_counted(tmp_path):
    records = [dict(text=f'{t} \ud83d end', label=c) if i < 2 else dict(text=f'{t} \U0001f600', label=c) for i, (t, c) in enumerate(examples().itertuples(index=False))]
    (tmp_path/'t.jsonl').write_text('\n'.join(json.dumps(r) for r in records))
    task = load_task(f"csv:{tmp_path/'t.jsonl'}")
    assert task.inputs[0] == f'{examples().text[0]} \ufffd end' and task.inputs[5].endswith('\U0001f600') and 'lost and read as \ufffd (2 such)' in findings(task)
    (tmp_path/'t.csv').write_bytes(lines(examples()).encode() + 'a \ud83d b,card\nc \ud83d\ude00,rate\n'.encode('utf-8', 'surrogatepass'))
    task = load_task(f"csv:{tmp_path/'t.csv'}")
    assert list(task.inputs.items[60:]) == ['a \ufffd b', 'c \U0001f600'] and 'lost and read as \ufffd (1 such)' in findings(task)


def test_zero_bytes_are_refused(tmp_path):
    with pytest.raises(ValueError, match='zero byte in line 2'): read_text(put(tmp_path/'t.csv', 'text,label\nwith a \0 in it,a\nother text here,b\n'))


# JSON and Parquet

def test_json(tmp_path):
    frame = examples().assign(date='2024-01-31')
    frame.to_json(tmp_path/'t.jsonl', orient='records', lines=True)
    frame.to_json(tmp_path/'t.json', orient='records')
    for name in ('t.jsonl', 't.json'):
        read = read_table(tmp_path/name)
        assert read.frame.date[0] == '2024-01-31' and '60 rows' in read.reading['rows']
    put(tmp_path/'bad.jsonl', '{"text": "a", "label": "b"}\n{"text": "a"')
    with pytest.raises(ValueError, match='line 2 is no JSON'): read_table(tmp_path/'bad.jsonl')


def test_the_index_of_a_parquet_file_is_a_column(tmp_path):
    examples().set_index('label').to_parquet(tmp_path/'t.parquet')
    assert same(load_task(f"csv:{tmp_path/'t.parquet'}"), examples())


def test_quotation_marks_around_many_texts(tmp_path):
    n = 200_000
    put(tmp_path/'t.csv', 'text,label\n' + '"a, b",c\n' * n)
    read = read_table(tmp_path/'t.csv')
    assert len(read.frame) == n and f'{n:,} rows from {n + 1:,} lines' in read.reading['rows']
