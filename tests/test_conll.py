"CoNLL files as they are found: numbered words, several columns of tags, other schemes, files without empty lines, names of splits."
import numpy as np, pytest
from seqeval.metrics.sequence_labeling import get_entities

from upgradeability.datasets import load_task
from upgradeability.kinds.tagging_files import read_conll
from upgradeability.kinds.tagging_spans import find_spans

NAMES = dict(Anna='PER', Berlin='LOC', Siemens='ORG', Paris='LOC', Karl='PER')

def sentences(n=40, seed=1):
    "Lists of (word, IOB2 tag)."
    r = np.random.default_rng(seed)
    def word():
        w = str(r.choice(list(NAMES) if r.random() < .4 else 'visited the new office in and with'.split()))
        return w, f'B-{NAMES[w]}' if w in NAMES else 'O'
    return [[word() for _ in range(r.integers(2, 8))] for _ in range(n)]

def put(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n\n'.join('\n'.join(s) for s in lines) + '\n', encoding='utf-8')
    return path

def plain(found, sep='\t'): return [[f'{w}{sep}{t}' for w, t in s] for s in found]
def words_of(task): return [w for s in task.inputs.items for w in s]
def said(task, status): return {e.about: str(e.value) for e in task.reading if e.status == status}

def seqeval_entities(found): return sum(len(get_entities([t for _, t in s])) for s in found)

FORMS = {
    'two columns': lambda k, w, t: f'{w}\t{t}',
    'blanks': lambda k, w, t: f'{w} {t}',
    'conllu': lambda k, w, t: f'{k}\t{w}' + '\t_' * 7 + f'\t{t}',
    'conllu in blanks': lambda k, w, t: f'{k} {w} _ _ {t}',
    'from 0': lambda k, w, t: f'{k - 1}\t{w}\t{t}',
    'name of the document first': lambda k, w, t: f'doc/1\t{k}\t{w}\t{t}',
    'tags before a column of nothing': lambda k, w, t: f'{k}\t{w}\t{t}\t_',
    'an empty last column': lambda k, w, t: f'{w}\t{t}\t',
}

@pytest.mark.parametrize('form', FORMS)
def test_words_and_entities_are_the_same_in_every_form(tmp_path, form):
    found = sentences()
    path = put(tmp_path/'data.txt', [[FORMS[form](k, w, t) for k, (w, t) in enumerate(s, 1)] for s in found])
    task, same = load_task(f'conll:{path}'), load_task(f"conll:{put(tmp_path/'same.conll', plain(found))}")
    assert words_of(task) == [w for s in found for w, _ in s] and task.fingerprint == same.fingerprint
    assert len(find_spans(task.y, task.groups, task.classes)) == seqeval_entities(found)
    assert 'Anna [B-PER]' in task.reading['first example'] or 'B-' in task.reading['first example']
    assert 'word: column' in task.reading['columns used']

def test_numbers_that_are_words_stay_words(tmp_path):
    lines = [['1\tX\tB-NUM', '7\tX\tO', '12\tX\tO'], ['3\tY\tB-NUM', '2\tX\tO']] * 4
    assert words_of(load_task(f"conll:{put(tmp_path/'a.tsv', lines)}"))[:3] == ['1', '7', '12']
    numbered = [['1\t1\tB-NUM', '2\t2\tO', '3\t3\tO'], ['1\t3\tB-NUM', '2\t4\tO']] * 4
    task = load_task(f"conll:{put(tmp_path/'b.tsv', numbered)}")
    assert words_of(task)[:5] == ['1', '2', '3', '3', '4'] and 'counts the words' in said(task, 'guess')['words']
    assert words_of(load_task(f"conll:{tmp_path/'b.tsv'}?token=0"))[3:5] == ['1', '2']

def test_comments_contracted_and_added_words_are_passed_over_and_counted(tmp_path):
    text = '# newdoc\n# sent_id = 1\n1-2\tzum\t_\t_\n1\tzu\tP\tO\n2\tdem\tD\tO\n#x\n2.1\tghost\t_\tB-PER\n3\tKarl\tN\tB-PER\n\n1\tParis\tN\tB-LOC\n'
    path = tmp_path/'a.conllu'; path.write_text(text * 3)
    found = read_conll(path)
    assert found.words[:4] == ['zu', 'dem', 'Karl', 'Paris'] and found.groups.tolist()[:4] == [0, 0, 0, 1]
    assert '9 comment lines passed over' in found.notes and '3 contracted words passed over' in found.notes and '3 words that are not in the text passed over' in found.notes
    assert 'data' not in found.words and load_task(f'conll:{path}').classes == ('O', 'B-LOC', 'B-PER')

def test_numbers_divide_sentences_where_empty_lines_are_missing(tmp_path):
    path = tmp_path/'a.conllu'; path.write_text('1\tAnna\tB-PER\n2\tsleeps\tO\n1\tParis\tB-LOC\n2\trains\tO\n' * 5)
    assert read_conll(path).groups.tolist()[:6] == [0, 0, 1, 1, 2, 2]

# ---------------------------------------------------------------- several columns of tags

def conll2003(): return [['-DOCSTART- -X- -X- O']] + [[f'{w} {"NNP" if t != "O" else "VB"} {"B-NP" if t != "O" else "B-VP"} {t}' for w, t in s] for s in sentences()]

def test_which_column_of_tags_was_taken_is_said_and_another_can_be(tmp_path):
    path = put(tmp_path/'a.txt', conll2003())
    task = load_task(f'conll:{path}')
    assert task.about['types'] == ('LOC', 'ORG', 'PER')
    assert 'column 3' in said(task, 'guess')['tag column'] and '?tag=2' in said(task, 'guess')['tag column']
    assert "column 1 (such as " in str(task.reading['columns not used'])
    for spec in ('?tag=2', '?tag=-2'):
        chunks = load_task(f'conll:{path}{spec}')
        assert chunks.about['types'] == ('NP', 'VP') and 'tag column' not in said(chunks, 'guess') and chunks.name.endswith(spec)
    assert load_task(f'conll:{path}?tag=-1').fingerprint == task.fingerprint

def test_names_within_names(tmp_path):
    lines = [['#\thttp://somewhere\t[2009]'] + [f'{k}\t{w}\t{t}\t{"B-LOCderiv" if w == "Berlin" else "O"}' for k, (w, t) in enumerate(s, 1)] for s in sentences()]
    path = put(tmp_path/'NER-de-train.tsv', lines)
    task = load_task(f'conll:{path}')
    assert '?tag=2' in said(task, 'guess')['tag column'] and task.about['types'] == ('LOCderiv',)
    outer = load_task(f'conll:{path}?tag=2')
    assert outer.about['types'] == ('LOC', 'ORG', 'PER') and words_of(outer) == [w for s in sentences() for w, _ in s]

@pytest.mark.parametrize('tag', ['B-PER|B-LOC', 'B-PER,B-LOC', 'B-PER;I-LOC', 'O|B-LOC', 'B-PER|LOC', 'B-PER/B-LOC'])
def test_several_tags_of_a_word_are_refused(tmp_path, tag):
    path = put(tmp_path/'a.txt', plain(sentences()) + [[f'Karl\t{tag}']])
    with pytest.raises(ValueError, match='is several tags; a word has only one'): load_task(f'conll:{path}')

# ---------------------------------------------------------------- schemes

def spelled(found, letters):
    "Entities of one to four words in another scheme, beside IOB2."
    r, out = np.random.default_rng(3), []
    for s in found:
        rows = []
        for w, t in s:
            n = int(r.integers(1, 5)) if t != 'O' else 1
            plain_tags = ['O'] * n if t == 'O' else [t] + [f'I{t[1:]}'] * (n - 1)
            b, m, e, single = letters
            other = ['O'] if t == 'O' else [f'{single}{t[1:]}'] if n == 1 else [f'{b}{t[1:]}', *[f'{m}{t[1:]}'] * (n - 2), f'{e}{t[1:]}']
            rows += [(f'{w}{i}', a, c) for i, (a, c) in enumerate(zip(plain_tags, other))]
        out.append(rows)
    return out

@pytest.mark.parametrize('scheme, letters', [('BMES', 'BMES'), ('BIOES', 'BIES'), ('BILOU', 'BILU'), ('BMES', 'BMEW')])
def test_schemes_give_the_same_entities(tmp_path, scheme, letters):
    rows = spelled(sentences(), letters)
    task = load_task(f"conll:{put(tmp_path/'a.txt', [[f'{w} {c}' for w, _, c in s] for s in rows])}")
    same = load_task(f"conll:{put(tmp_path/'b.txt', [[f'{w} {a}' for w, a, _ in s] for s in rows])}")
    assert task.fingerprint == same.fingerprint and f'tags are {scheme}, converted to IOB2' in task.reading.texts and not said(task, 'finding')
    assert len(find_spans(task.y, task.groups, task.classes)) == sum(len(get_entities([a for _, a, _ in s])) for s in rows)

# ---------------------------------------------------------------- sentences and splits

def test_a_file_without_empty_lines_says_so(tmp_path):
    whole = [[line for s in plain(sentences(600)) for line in s]]
    put(tmp_path/'train.conll', whole), put(tmp_path/'test.conll', plain(sentences(20, 5)))
    findings = said(load_task(f'conll:{tmp_path}'), 'finding')
    assert 'train.conll: no empty line ends a sentence' in findings['sentences']
    with pytest.raises(ValueError, match='has 1 sentence with an entity.*An empty line ends a sentence'): load_task(f"conll:{tmp_path/'train.conll'}")
    put(tmp_path/'train.conll', plain(sentences(20)) + whole)
    assert 'a sentence of' in said(load_task(f'conll:{tmp_path}'), 'finding')['sentences']

SETS = [('train.conll', 'dev.conll', 'test.conll'), ('Train.txt', 'Dev.txt', 'Test.txt'), ('eng.train', 'eng.testa', 'eng.testb'), ('x-training.bio', 'x-devel.bio', 'x-testing.bio'),
        ('TRAIN.iob2', 'VALID.iob2', 'TEST.iob2'), ('train', 'eval', 'test'), ('seg_train.txt', 'validation.txt', 'seg_test.txt')]

@pytest.mark.parametrize('names', SETS, ids=str)
def test_splits_by_the_usual_names(tmp_path, names):
    for seed, name in enumerate(names): put(tmp_path/name, plain(sentences(20 + seed, seed)))
    task = load_task(f'conll:{tmp_path}')
    assert set(task.origin.values()) == {'official'} and [len(np.unique(task.groups[task.splits[k]])) for k in ('train', 'valid', 'test')] == [20, 21, 22]
    assert list(task.reading['files']) == ['train', 'valid', 'test'] and task.sample(task.n_train) is task
    for name in names: assert name in str(task.reading['files'])

def test_without_test_validation_is_the_test_set_and_that_comes_first(tmp_path):
    put(tmp_path/'train.conll', plain(sentences(30))), put(tmp_path/'dev.conll', plain(sentences(20, 2)))
    task = load_task(f'conll:{tmp_path}')
    assert task.origin == dict(train='official', valid='drawn', test='official') and len(np.unique(task.groups[task.splits['test']])) == 20
    assert 'there is no test split' in str(task.reading.entries[0].value) and task.reading.entries[0].status == 'guess' and 'dev.conll' in str(task.reading.entries[0].value)

def test_two_files_for_one_split_and_files_that_are_none(tmp_path):
    for name in ('train.conll', 'test.conll', 'more.conll', 'LICENSE'): put(tmp_path/name, plain(sentences()))
    assert 'more.conll' in said(load_task(f'conll:{tmp_path}'), 'finding')['files not used']
    put(tmp_path/'testing.conll', plain(sentences()))
    with pytest.raises(ValueError, match="two for test, 'test.conll' and 'testing.conll'"): load_task(f'conll:{tmp_path}')

def test_a_test_file_without_tags_names_the_way_out(tmp_path):
    put(tmp_path/'train.conll', plain(sentences())), put(tmp_path/'test.conll', [[w for w, _ in s] for s in sentences()])
    with pytest.raises(ValueError, match='test.conll.* has one column.*test file without tags'): load_task(f'conll:{tmp_path}')

def test_what_was_read_adds_up(tmp_path):
    found = sentences(25)
    path = put(tmp_path/'a.txt', plain(found))
    task = load_task(f'conll:{path}')
    assert f'a.txt ({len(path.read_text().splitlines()):,} lines, 25 sentences, {sum(map(len, found)):,} words)' in str(task.reading['files'])
    assert sum(task.reading['entities'].values()) == seqeval_entities(found)
