"Named entities: spans against seqeval, decoding against exhaustive search, CoNLL files of every kind, intervals, protocols on words."
import time, warnings
from dataclasses import replace
from itertools import product

import matplotlib.pyplot as plt, numpy as np, pytest
from seqeval.metrics import classification_report, f1_score
from seqeval.metrics.sequence_labeling import get_entities

from upgradeability import protocols as pr
from upgradeability.datasets import load_task
from upgradeability.ranking import rank_models
from upgradeability.evaluation import evaluate, read_predictions, verify
from upgradeability.kinds.tagging_files import read_conll
from upgradeability.kinds.tagging_spans import decode, find_spans, iob2_tags, misplaced, read_tags, recognise, split_tag
from upgradeability.features import Features
from upgradeability.comparisons import compare, gain, relative_gain
from upgradeability.intervals import score, upgradeability
from upgradeability.kinds.tagging import micro_f1, per_type, spans_of
from upgradeability.metrics import METRICS, Metric, Predictions
from upgradeability.kinds.tagging import entity_mistakes, plot_sentences, plot_type_confusion, plot_types, type_confusion
from upgradeability.plots import plot_ranking
from upgradeability.protocols import PROTOCOLS, predictions_of, choice_folds, fit_rows, knn, linear_probe, majority, neighbours
from upgradeability.media import Inputs
from upgradeability.tasks import make_task

IOB2 = ('O', 'B-a', 'I-a', 'B-b', 'I-b', 'B-c-d', 'I-c-d')
BIOES = (*IOB2, 'E-a', 'S-a', 'E-b', 'S-b')
BILOU = (*IOB2, 'L-a', 'U-a', 'L-b', 'U-b')

def drawn(classes, seed, n=None):
    "Random tags, mostly invalid, of a few sentences."
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60)) if n is None else n
    return rng.integers(0, len(classes), n), np.sort(rng.integers(0, 7, n))

def by_sentence(codes, groups, classes): return [[classes[c] for c in codes[groups == g]] for g in np.unique(groups)]

def seqeval_spans(codes, groups, classes):
    first = np.searchsorted(groups, np.unique(groups))
    return [(f + a, f + b + 1, k) for f, tags in zip(first, by_sentence(codes, groups, classes)) for k, a, b in get_entities(tags)]

def named(spans, classes): return [(a, b, read_tags(classes)[0][k]) for a, b, k in spans]

# ---------------------------------------------------------------- spans

@pytest.mark.parametrize("classes", [IOB2, BIOES, ('O', 'B', 'I')], ids=['IOB2', 'BIOES', 'no types'])
def test_spans_are_those_of_seqeval(classes):
    for seed in range(300):
        y, groups = drawn(classes, seed)
        assert named(find_spans(y, groups, classes), classes) == seqeval_spans(y, groups, classes)

def test_bilou_is_bioes_in_other_letters():
    for seed in range(50):
        y, groups = drawn(BILOU, seed)
        assert np.array_equal(find_spans(y, groups, BILOU), find_spans(y, groups, BIOES))

@pytest.mark.parametrize("classes", [IOB2, BIOES], ids=['IOB2', 'BIOES'])
def test_conversion_keeps_the_spans_and_is_valid(classes):
    for seed in range(100):
        y, groups = drawn(classes, seed)
        spans, types = find_spans(y, groups, classes), read_tags(classes)[0]
        tags = iob2_tags(spans, len(y), types)
        known, again = np.unique(['O', *IOB2, *tags], return_inverse=True)[0], None
        again = np.searchsorted(known, tags.astype(str))
        assert named(find_spans(again, groups, known), known) == named(spans, classes)
        assert not misplaced(again, groups, known, 'IOB2').any()

def test_nothing_has_no_spans():
    assert find_spans(np.zeros(0, int), np.zeros(0, int), IOB2).shape == (0, 3)
    assert find_spans(np.zeros(5, int), np.zeros(5, int), IOB2).shape == (0, 3)
    assert iob2_tags(np.zeros((0, 3), int), 3, ()).tolist() == ['O'] * 3

@pytest.mark.parametrize("tag", ['o', 'B_per', 'PER', 'B-', 'O-per', 'X-per', '', 'B-per ', ' O'][:7])
def test_what_is_no_tag(tag):
    with pytest.raises(ValueError, match='is no tag: tags are O, and B-TYPE'): split_tag(tag)

def test_a_hundred_thousand_words_take_no_time():
    y, groups = drawn(IOB2, 0, 100_000)
    groups = np.arange(100_000) // 20
    p = np.random.default_rng(0).dirichlet(np.full(len(IOB2), .2), len(y))
    start = time.perf_counter()
    find_spans(y, groups, IOB2); middle = time.perf_counter(); decode(p, groups, IOB2)
    assert middle - start < .5 and time.perf_counter() - middle < 3

# ---------------------------------------------------------------- schemes

def valid(scheme, seed):
    "Valid tags of one scheme."
    rng, tags = np.random.default_rng(seed), []
    for _ in range(30):
        kind, n = rng.choice(['a', 'b', '']), int(rng.integers(1, 4))
        if not kind: tags += ['O'] * n; continue
        letters = ['B', *'I' * (n - 1)]
        if scheme == 'IOB1' and not (tags and tags[-1][1:] == f'-{kind}'): letters[0] = 'I'
        if scheme in ('BIOES', 'BILOU'): letters = ['S'] if n == 1 else ['B', *'I' * (n - 2), 'E']
        tags += [f'{c}-{kind}'.replace('S-', 'U-').replace('E-', 'L-') if scheme == 'BILOU' else f'{c}-{kind}' for c in letters]
    return tags

@pytest.mark.parametrize("scheme", ['IOB2', 'IOB1', 'BIOES', 'BILOU'])
def test_schemes_are_recognised_and_valid_tags_are_not_blamed(scheme):
    for seed in range(30):
        classes, y = np.unique(valid(scheme, seed), return_inverse=True)
        groups = np.zeros(len(y), int)
        assert recognise(y, groups, classes) == scheme and not misplaced(y, groups, classes, scheme).any()

@pytest.mark.parametrize("tags, n", [('B-x O I-x', 1), ('B-x I-y', 1), ('I-x B-y B-y I-y B-y', 1), ('B-x O B-x E-x', 1), ('B-x', 0), ('S-x B-x', 1), ('E-x S-x', 1), ('B-x S-x I-x E-x', 2)])
def test_misplaced_tags_are_counted(tags, n):
    classes, y = np.unique(tags.split(), return_inverse=True)
    assert misplaced(y, np.zeros(len(y)), classes, recognise(y, np.zeros(len(y)), classes)).sum() == n

# ---------------------------------------------------------------- decoding

def is_valid(tags): return all(not b.startswith('I') or (a != 'O' and a[1:] == b[1:]) for a, b in zip(('O', *tags), tags))

@pytest.mark.parametrize("classes", [('O', 'B-a', 'I-a', 'B-b', 'I-b'), ('B-b', 'I-a', 'O', 'B-a'), ('O', 'B-a'), ('I-a', 'O')], ids=str)
def test_the_best_valid_tags_by_exhaustion(classes):
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 6, 40)
    groups, p = np.repeat(rng.permutation(40), lengths), rng.dirichlet(np.full(len(classes), .4), lengths.sum())
    found = decode(p, groups, classes)
    for g in np.unique(groups):
        q = np.log(p[groups == g])
        total = lambda s: q[np.arange(len(q)), s].sum()
        best = max((s for s in product(range(len(classes)), repeat=len(q)) if is_valid([classes[c] for c in s])), key=total)
        assert is_valid([classes[c] for c in found[groups == g]]) and np.isclose(total(found[groups == g]), total(best))

def test_valid_favourites_are_kept_and_the_rest_is_deterministic():
    y, groups = drawn(IOB2, 3, 500)
    tags = iob2_tags(find_spans(y, groups, IOB2), 500, read_tags(IOB2)[0])
    y = np.array([IOB2.index(t) for t in tags])
    p = np.full((500, len(IOB2)), .05); p[np.arange(500), y] = .7
    assert np.array_equal(decode(p, groups, IOB2), y) and np.array_equal(decode(p.astype(np.float32), groups, IOB2), y)

def test_probabilities_of_zero_and_a_permuted_order_of_classes():
    p = np.random.default_rng(0).dirichlet(np.full(len(IOB2), .3), 300)
    p[p < .05] = 0
    groups, turn = np.arange(300) // 9, np.random.default_rng(1).permutation(len(IOB2))
    a, b = decode(p, groups, IOB2), decode(p[:, turn], groups, [IOB2[i] for i in turn])
    assert all(is_valid(t) for t in by_sentence(a, groups, IOB2)) and (turn[b] == a).mean() > .97 # where all ways are impossible, any will do
    assert decode(np.zeros((3, len(IOB2))), np.zeros(3), IOB2).shape == (3,) and decode(np.zeros((0, 7)), np.zeros(0), IOB2).shape == (0,)
    with pytest.raises(ValueError, match="decoded as IOB2; there is 'E-a'"): decode(np.ones((1, len(BIOES))), np.zeros(1), BIOES)

# ---------------------------------------------------------------- files

def put(folder, **files):
    for name, text in files.items(): (folder/f'{name}.conll').write_bytes(text if isinstance(text, bytes) else text.encode())
    return f'conll:{folder}'

GOOD = 'Anna\tB-person\nis\tO\nin\tO\nBonn\tB-place\n\nNew\tB-place\nYork\tI-place\n\nno\tO\nname\tO\n\n' * 6

def test_columns_marks_comments_and_blanks(tmp_path):
    text = '-DOCSTART- -X- -X- O\n\n# a comment of mine\nU.N. NNP I-NP I-ORG\n# # O O\n#hash NN O O\n\n\n\n \n\u00a0 NNP I-NP I-ORG\r\nend\u2028 X O O\n-DOCSTART- -X- -X- O\nlast X O O'
    path = tmp_path/'a.txt'; path.write_bytes(text.encode())
    found = read_conll(path)
    assert found.words == ['U.N.', '#', '#hash', '\u00a0', 'end\u2028', 'last'] and found.groups.tolist() == [0, 0, 0, 1, 1, 2] and found.lines.tolist() == [4, 5, 6, 11, 12, 14]
    assert found.notes == ['2 document marks passed over', '1 comment line passed over'] and found.layout.width == 4
    assert read_conll(path, tag=2).tags[0] == 'I-NP' and read_conll(path, token=1, tag=-1).words[0] == 'NNP'

def test_tabs_keep_blanks_within_words(tmp_path):
    (tmp_path/'a.tsv').write_text('New York\tB-place\n\t\n:-) \tO\n# a comment\n')
    found = read_conll(tmp_path/'a.tsv')
    assert found.words == ['New York', ':-) '] and found.groups.tolist() == [0, 1]

@pytest.mark.parametrize("write", ["iob1", "bioes", "bilou"])
def test_other_schemes_give_the_same_task(tmp_path, write):
    forms = dict(iob1=[('B-', 'I-')], bioes=[('Anna\tB', 'Anna\tS'), ('Bonn\tB', 'Bonn\tS'), ('York\tI', 'York\tE')], bilou=[('Anna\tB', 'Anna\tU'), ('Bonn\tB', 'Bonn\tU'), ('York\tI', 'York\tL')])
    other = GOOD
    for a, b in forms[write]: other = other.replace(a, b)
    for name in ('plain', write): (tmp_path/name).mkdir()
    a, b = (load_task(put(tmp_path/n, train=t)) for n, t in [('plain', GOOD), (write, other)])
    assert a.fingerprint == b.fingerprint and np.array_equal(a.y, b.y) and f'tags are {write.upper()}, converted to IOB2' in b.reading.texts

def test_splits_of_a_folder_and_of_a_file(tmp_path):
    spec = put(tmp_path, train=GOOD, dev='Ben\tB-person\n\n', test='Rome\tB-place\n')
    task = load_task(spec)
    assert task.name == spec and task.kind.name == 'tagging' and task.metric == 'span_f1' and task.medium.name == 'words' and task.n_train == 19
    assert task.classes == ('O', 'B-person', 'B-place', 'I-place') and set(task.origin.values()) == {'official'}
    assert task.inputs[0] == ('Anna', 'is', 'in', 'Bonn') and task.inputs[19] == ('Rome',) and task.about['types'] == ('person', 'place')
    one = load_task(f'{spec}/train.conll')
    sentences = [set(one.groups[r]) for r in one.splits.values()]
    assert set(one.origin.values()) == {'drawn'} and sum(map(len, sentences)) == 18 and not set.intersection(*sentences)
    assert np.array_equal(load_task(f'{spec}/train.conll').splits['test'], one.splits['test']) and load_task(f'{spec}/train.conll').fingerprint == one.fingerprint
    assert load_task(spec, n_train=10).n_train == 10

@pytest.mark.parametrize("files, notes", [
    (dict(train=GOOD, test='Bonn\tI-place\n'), ["1 of 49 tags are not allowed at their place in IOB2, the first is 'I-place' (test.conll, line 1): read as seqeval does by default"]),
    (dict(train=GOOD, test='X\tB-firm\n'), ['in test but not in train, so never found: firm']),
    (dict(train=GOOD, test='no\tO\n'), ['test has no entity']),
    (dict(train='# by hand\n' + GOOD, test='X\tB-place\n'), ['train.conll: 1 comment line passed over']),
], ids=['invalid', 'new type', 'no entity', 'comment'])
def test_what_is_odd_is_noted(tmp_path, files, notes):
    said = load_task(put(tmp_path, **files)).reading.texts
    assert said[0] == 'tags are IOB2' and all(n in said for n in notes)

BAD = [(dict(train='Anna\tB-person\nis\nin\tO\tO\nBonn\tX-place\n\tO\n' + GOOD), '', ['4 lines cannot be read', 'line 2: 1 column where others have 2', 'line 3: 3 columns where', "line 4: 'X-place' is no tag", 'line 5: no word']),
       (dict(train=GOOD + 'x\n' * 30), '', ['30 lines cannot be read', '… and 20 more']),
       (dict(train=GOOD, test='Rome\tPLACE\n'), '', ['test.conll', "line 1: 'PLACE' is no tag"]),
       (dict(train=GOOD + 'Zürich\tB-place\n'.encode('latin-1').decode('latin-1')), '?encoding=ascii', ['is not in ascii: line 67 contains the byte 0xc3']),
       (dict(train=GOOD.encode() + 'Zürich\tB-place\n'.encode('latin-1')), '', ['train.conll', 'line 67 contains the byte 0xfc', '?encoding=latin-1']),
       (dict(train=GOOD.encode('utf-16')), '', ['?encoding=utf-16']),
       (dict(train=GOOD), '?encoding=latin-7777', ["Unknown encoding 'latin-7777'"]),
       (dict(train=GOOD), '?tag=2', ['tag=2 is no column', 'which has 2']),
       (dict(train=GOOD), '?tag=first', ["tag='first' is no column"]),
       (dict(train=GOOD), '?token=1', ['column 1 of 2 would be both word and tag']),
       (dict(train=GOOD), '?tags=1', ["Unknown option of conll tasks 'tags'. Did you mean 'tag'?"]),
       (dict(train='word\nword\n'), '', ['has one column: a word and its tag are needed']),
       (dict(train=''), '', ['is empty']), (dict(train='\n \n\t\n'), '', ['is empty']),
       (dict(train='# nothing but a comment\n'), '', ['has no words, only comments']),
       (dict(train='a\tO\n\nb\tO\n'), '', ['every tag is O', '?tag=']),
       (dict(train='a\tO\n\nb\tO\n', test=GOOD), '', ["has one class only, 'O'"]),
       (dict(test=GOOD), '', ['has no train file, only test.conll']),
       (dict(train=GOOD, dev=GOOD, valid=GOOD), '', ["has two for valid, 'dev.conll' and 'valid.conll'"]),
       (dict(), '', ['has no train file, only no text files'])]

@pytest.mark.parametrize("files, options, words", BAD, ids=[w[0][:40] for _, _, w in BAD])
def test_bad_files_are_named(tmp_path, files, options, words):
    with pytest.raises(ValueError) as e: load_task(put(tmp_path, **files) + options)
    for w in words: assert w in str(e.value)

def test_too_little_to_split(tmp_path):
    for text in ('a\tB-x\n', 'a\tB-x\n\nb\tO\n\nc\tO\n'):
        (tmp_path/'one.txt').write_text(text)
        with pytest.raises(ValueError, match='has 1 sentence with an entity: train and test need one each'): load_task(f"conll:{tmp_path/'one.txt'}")
    with pytest.raises(FileNotFoundError, match='There is no file or folder'): load_task(f'conll:{tmp_path}/nowhere')

def test_another_encoding_and_a_byte_order_mark(tmp_path):
    a = load_task(put(tmp_path, train='\ufeff' + GOOD))
    assert a.inputs[0][0] == 'Anna'
    b = load_task(put(tmp_path, train=(GOOD + 'Zürich\tB-place\n').encode('latin-1')) + '?encoding=latin-1')
    assert b.inputs[18] == ('Zürich',) and b.name.endswith('?encoding=latin-1')

@pytest.mark.parametrize("name, reading", [('data/train.conll', 'conll:data/train.conll'), ('data/pictures/', 'folder:data/pictures/')])
def test_a_bare_path_is_asked_about(name, reading):
    with pytest.raises(ValueError, match='looks like a path') as e: load_task(name)
    assert repr(reading) in str(e.value)

def test_a_bare_folder_of_tagged_files_is_asked_about(tmp_path):
    put(tmp_path, train=GOOD)
    with pytest.raises(ValueError, match=f"Say which kind of task it is: 'conll:{tmp_path}'"): load_task(str(tmp_path))

# ---------------------------------------------------------------- the measure

def answers(n=80, seed=0, classes=IOB2, sure=.8):
    "Random true and predicted tags of sentences, rows in no order."
    rng = np.random.default_rng(seed)
    groups = np.sort(rng.integers(0, n // 4 + 1, n))
    y = rng.choice(len(classes), n, p=[.6, *[.4 / (len(classes) - 1)] * (len(classes) - 1)])
    pred = np.where(rng.random(n) < sure, y, rng.integers(0, len(classes), n))
    return Predictions(np.arange(n), y, pred, None, groups, meta=dict(classes=classes, metric='span_f1'))

def seqeval_f1(p, **more): return f1_score(*(by_sentence(c[np.argsort(p.ids)], np.sort(p.groups), p.meta['classes']) for c in (p.y, p.pred)), **more)

def test_span_f1_is_that_of_seqeval():
    for seed in range(60):
        p = answers(int(np.random.default_rng(seed).integers(10, 200)), seed, sure=seed % 10 / 10)
        assert np.isclose(score(p, 'span_f1', n_boot=10).value, seqeval_f1(p, zero_division=0))

def test_each_type_is_that_of_seqeval():
    p = answers(400, 1)
    tags = [by_sentence(c, p.groups, IOB2) for c in (p.y, p.pred)]
    report, found = classification_report(*tags, output_dict=True), per_type(p, n_boot=200).set_index('type')
    for name in ('a', 'b', 'c-d'):
        assert np.allclose(found.loc[name, ['precision', 'recall', 'f1', 'n']].astype(float), [report[name][k] for k in ('precision', 'recall', 'f1-score', 'support')])
    assert (found.low <= found.f1).all() and (found.f1 <= found.high).all() and found.predicted.sum() == len(spans_of(p)[1])

def test_order_of_rows_and_names_of_sentences_change_nothing():
    p = answers(150, 2)
    whole = score(p, 'span_f1')
    assert score(p.take(np.random.default_rng(0).permutation(150)), 'span_f1') == whole
    assert score(replace(p, groups=np.array([f's{g:03d}' for g in p.groups])), 'span_f1') == whole
    assert np.isclose(score(replace(p, groups=p.groups[::-1].max() - p.groups), 'span_f1').value, whole.value)

def test_unit_sums_by_a_loop():
    p = answers(120, 3)
    table = METRICS['span_f1'].unit_stats(p).toarray()
    for row, g in zip(table, np.unique(p.groups)):
        true, said = (set(get_entities([IOB2[c] for c in codes[p.groups == g]])) for codes in (p.y, p.pred))
        assert row.tolist() == [len(true & said), len(true), len(said)]

def test_sentences_without_entities_are_no_evidence():
    "Three entities are three pieces of evidence, however many empty sentences stand around them."
    few = Predictions(range(3), [1, 1, 1], [1, 1, 1], groups=range(3), meta=dict(classes=IOB2))
    many = Predictions(range(300), [1] * 3 + [0] * 297, [1] * 3 + [0] * 297, groups=range(300), meta=dict(classes=IOB2))
    a, b = score(few, 'span_f1'), score(many, 'span_f1')
    assert (a.low, a.high) == (b.low, b.high) and a.low < .5 and b.n_units == 300
    empty = replace(many, pred=np.zeros(300, int))
    d = gain(many, empty, 'span_f1')
    assert d.value == 1 and d.low < .6 and gain(few, replace(few, pred=np.zeros(3, int)), 'span_f1').low == d.low

def test_extremes():
    p = answers(200, 4)
    perfect, silent = replace(p, pred=p.y), replace(p, pred=np.zeros(200, int))
    assert score(perfect, 'span_f1').value == 1 and score(silent, 'span_f1').value == 0 and score(silent, 'span_f1').high > 0
    nothing = replace(silent, y=np.zeros(200, int))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        s = score(nothing, 'span_f1')
        assert np.isnan(s.value) and np.isnan(s.low) and per_type(nothing).f1.isna().all()
        assert np.isnan(upgradeability(perfect, nothing, 'span_f1').value)
        for f in (gain, relative_gain): assert np.isfinite(f(perfect, silent, 'span_f1').value)
    with pytest.raises(ValueError, match='Entities are found in sentences'): score(Predictions([0], [0], [0]), 'span_f1')

def test_comparison_counts_sentences():
    p = answers(300, 5, sure=.6)
    better = replace(p, pred=np.where(p.groups % 2, p.y, p.pred))
    c = compare(p, better)
    assert c.difference.value > 0 and c.negative_flips == 0 and 0 < c.positive_flips <= 40 and c.p_value < .05
    mirrored = compare(better, p)
    assert np.isclose(mirrored.difference.value, -c.difference.value) and (mirrored.negative_flips, mirrored.positive_flips) == (c.positive_flips, c.negative_flips)
    alike = compare(p, p)
    assert alike.p_value == 1 and alike.difference.value == 0

@pytest.mark.parametrize("n, skill", [(60, .5), (200, .8), (400, .95)])
def test_intervals_cover(n, skill):
    "Sentences of different difficulty with clustered mistakes; the true F1 is that of very many of them."
    def draw(n, rng):
        true, chance = rng.poisson(1.2, n), rng.beta(skill * 6, (1 - skill) * 6, n)
        hits = rng.binomial(true, chance)
        return np.column_stack([hits, true, hits + rng.poisson((1 - chance) * 1.1)]).astype(float)
    rng = np.random.default_rng(0)
    truth, covered = micro_f1(draw(400_000, rng).sum(0)), 0
    words = Predictions(range(10 * n), [0] * 10 * n, [0] * 10 * n, groups=np.repeat(range(n), 10))
    for _ in range(500):
        table = draw(n, rng)
        s = score(words, Metric('f1', lambda p: table, micro_f1, fraction=True, of_units=True), n_boot=300)
        covered += s.low <= truth <= s.high
    assert .91 <= covered / 500 <= .985

# ---------------------------------------------------------------- protocols

def language(n=60, seed=0, n_valid=20, n_test=20, noise=1):
    "A task of random sentences and features in which its tags can be read, not without doubt."
    rng, tags, groups = np.random.default_rng(seed), [], []
    for g in range(n + n_valid + n_test):
        while not groups or groups[-1] != g or rng.random() < .6:
            kind, long = rng.choice(['a', 'b', '']), int(rng.integers(1, 4))
            tags += [f'{"BI"[i > 0]}-{kind}' if kind else 'O' for i in range(long)]; groups += [g] * long
    groups, classes = np.array(groups), ('O', 'B-a', 'I-a', 'B-b', 'I-b')
    rows = {k: np.flatnonzero((groups >= a) & (groups < b)) for k, a, b in [('train', 0, n), ('valid', n, n + n_valid), ('test', n + n_valid, n + n_valid + n_test)]}
    sentences = [tuple(f'w{i}' for i in np.flatnonzero(groups == g)) for g in range(groups[-1] + 1)]
    task = make_task('language', Inputs(sentences, tuple, np.arange(len(sentences), dtype=np.uint64)), tags, rows, medium='words', classes=classes, kind='tagging', unit=groups, metric='span_f1')
    x = (np.eye(5)[task.y] @ rng.normal(size=(5, 8)) * 1.5 + noise * rng.normal(size=(len(tags), 8))).astype(np.float32)
    return task, lambda backbone: Features(x, task.y, np.arange(len(x)), None, task.splits, None, {})

@pytest.mark.parametrize("protocol", ['majority', 'knn', 'linear_probe'])
def test_every_protocol_answers_with_valid_tags_on_train_and_test(protocol):
    task, features = language()
    out = PROTOCOLS[protocol](None, task, features)
    for split, p in out.items():
        assert all(is_valid(t) for t in by_sentence(p.pred, p.groups, task.classes)) and np.array_equal(p.groups, task.groups[p.ids])
        order = np.lexsort((p.ids, p.groups))
        assert np.array_equal(p.pred[order], decode(p.scores[order], p.groups[order], task.classes))
        assert p.meta['kind'] == 'tagging' and (protocol == 'majority' or any(f'words of {split}' in note for note in p.meta['notes']))
        assert np.isclose(score(p, 'span_f1').value, seqeval_f1(p, zero_division=0))
    assert float(score(out['test'], 'span_f1')) > .3 or protocol == 'majority' and not out['test'].pred.any()
    again = PROTOCOLS[protocol](None, task, features)
    assert all(np.array_equal(again[k].pred, out[k].pred) for k in out)

def test_valid_tags_carry_over_better_than_favourites():
    task, features = language(150, 1)
    p = linear_probe(None, task, features)['test']
    plain = replace(p, pred=p.scores.argmax(1))
    assert (plain.pred != p.pred).any() and float(score(p, 'span_f1')) >= float(score(plain, 'span_f1')) - .02

def test_rows_of_a_sentence_may_come_in_any_order():
    task, features = language()
    turned = replace(task, splits={k: np.random.default_rng(0).permutation(v) for k, v in task.splits.items()})
    p = np.random.default_rng(1).dirichlet(np.full(5, .4), len(task.y))
    a, b = (predictions_of(t, *((p[r].argmax(1), p[r]) for r in (fit_rows(t), t.splits['test'])))['test'] for t in (task, turned))
    assert dict(zip(a.ids, a.pred)) == dict(zip(b.ids, b.pred))

def test_neighbours_from_the_same_sentence_are_left_out():
    task, features = language()
    rows = fit_rows(task)
    x, groups = features(None).x[rows], task.groups[rows]
    found = neighbours(x, None, 7, groups=groups)
    assert not (groups[found] == groups[:, None]).any() and np.array_equal(neighbours(x, None, 7, 5, groups), found)
    assert np.array_equal(neighbours(x, None, 7, groups=np.arange(len(x))), neighbours(x, None, 7))
    with pytest.raises(ValueError, match='need two sentences'): neighbours(x[:3], None, 7, groups=np.zeros(3))

def test_without_valid_folds_keep_sentences_whole():
    task, features = language()
    bare = replace(task, splits=dict(task.splits, train=fit_rows(task), valid=np.zeros(0, np.int64)))
    groups = task.groups[fit_rows(bare)]
    for fit, judge in choice_folds(bare.y[fit_rows(bare)], len(groups), groups): assert not set(groups[fit]) & set(groups[judge])
    for protocol, by in [(knn, 'leave-one-out span f1'), (linear_probe, '5-fold')]: assert by in protocol(None, bare, features)['test'].meta['choices']['by']
    small = replace(bare, splits=dict(task.splits, train=np.flatnonzero(task.groups < 3), valid=np.zeros(0, np.int64)))
    for protocol in (knn, linear_probe, majority): assert len(protocol(None, small, features)['test']) == len(task.splits['test'])

def test_choices_for_entities_are_made_by_spans():
    "Most words are outside of entities, so the share of right words prefers answers that find none."
    task, _ = language()
    rows, y = task.splits['valid'], task.y[task.splits['valid']]
    silent, bold = np.tile([.6, .1, .1, .1, .1], (len(y), 1)), np.where(np.eye(5)[y] > 0, .5, .125)
    judged = lambda task, rows, p: pr.judged(task, rows, (p.argmax(1), p))
    assert judged(task, rows, silent) == 0 and judged(task, rows, bold) == 1
    picture = load_task('digits', n_train=100)
    valid = picture.splits['valid']
    assert judged(picture, valid, np.eye(10)[picture.y[valid]]) == 1

# ---------------------------------------------------------------- pictures

@pytest.fixture(scope='module')
def probed():
    task, features = language(noise=2.5)
    out = linear_probe(None, task, features)
    yield task, out['train'], out['test']
    plt.close('all')

def test_type_confusion_adds_up(probed):
    task, _, test = probed
    table, found, wrong = type_confusion(test), per_type(test, n_boot=10), entity_mistakes(test)
    assert table[:-1].sum(axis=1).tolist() == found.n.tolist() and np.trace(table.to_numpy()) == METRICS['span_f1'].unit_stats(test).sum(0)[0]
    assert (wrong.predicted == '').sum() == table.missed.sum() and (wrong.true == '').sum() == table.loc['invented'].sum()
    assert (wrong.predicted != '').sum() == found.predicted.sum() - np.trace(table.to_numpy())
    assert wrong.confidence[wrong.predicted != ''].is_monotonic_decreasing and (wrong.stop > wrong.start).all()

def test_pictures_of_entities(probed):
    task, train, test = probed
    assert len(plot_types(train, test).get_yticks()) == 3 and plot_type_confusion(test) is not None
    hard = replace(task, inputs=Inputs([tuple('$x_1$ 😀 漢字 a\u0301 ' .split()) * 40 for _ in task.inputs.items], tuple, task.inputs.digests))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for t in (task, hard): plot_sentences(t, test, 3).canvas.draw()

def test_pictures_of_nothing(probed, capsys):
    task, train, test = probed
    silent, none = replace(test, pred=np.zeros(len(test), int)), replace(test, y=np.zeros(len(test), int), pred=np.zeros(len(test), int))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        plot_types(train, none).figure.canvas.draw(); plot_types(train, silent); plot_type_confusion(silent)
    assert plot_type_confusion(none) is None and plot_sentences(task, none) is None and plot_sentences(task, replace(test, pred=test.y)) is None
    assert (entity_mistakes(silent).predicted == '').all() and not len(entity_mistakes(none))

# ---------------------------------------------------------------- real text

def test_wnut17(shared_data):
    task = load_task(f"conll:{shared_data/'wnut17'}")
    assert task.n_train == 3394 + 1009 and len(np.unique(task.groups[task.splits['test']])) == 1287 and len(task.classes) == 13
    assert task.about['types'] == ('corporation', 'creative-work', 'group', 'location', 'person', 'product') and task.reading.texts[0] == 'tags are IOB2'
    test = task.splits['test']
    assert len(find_spans(task.y[test], task.groups[test], task.classes)) == 1079
    p = np.random.default_rng(0).dirichlet(np.full(13, .3), len(test))
    p = .5 * p + .5 * np.eye(13)[task.y[test]]
    out = Predictions(test, task.y[test], decode(p, task.groups[test], task.classes), p, task.groups[test], meta=dict(classes=task.classes))
    assert np.isclose(score(out, 'span_f1', n_boot=100).value, seqeval_f1(out))

def test_a_pretrained_model_on_wnut17(shared_data, tmp_path):
    "F1 of spans on the stored predictions is seqeval's, and the pretraining shows."
    pytest.importorskip('transformers')
    df = evaluate('bundled:minilm', f"conll:{shared_data/'wnut17'}", protocols='linear_probe', n_train=300, out_dir=tmp_path).set_index('protocol')
    parts = read_predictions(tmp_path, df.key['linear_probe'])
    for k, p in parts.items(): assert np.isclose(df[k]['linear_probe'], seqeval_f1(p))
    assert .1 < df.test_low['linear_probe'] < df.test['linear_probe'] < df.test_high['linear_probe'] < df.train['linear_probe'] and verify(tmp_path).empty

def test_ranking_of_text_models(shared_data, tmp_path):
    "For words by the tags of sentences left out, for texts by their classes."
    pytest.importorskip('transformers')
    for task, own in [(f"conll:{shared_data/'wnut17'}", 'R²'), ('docstrings', 'accuracy')]:
        df = rank_models(['bundled:minilm?random', 'bundled:minilm'], task, budget=1e-6, keep=1, out_dir=tmp_path/own)
        assert df.model.tolist() == ['bundled:minilm', 'bundled:minilm?random'] and df.examples.tolist() == [128, 128] and df.attrs['settings']['score'] == own
        assert df.score[0] > df.score[1] + df.se[1] and plot_ranking(df).get_xlabel().startswith(own)
