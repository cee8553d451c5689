"One table of split names and one rule for what serves as the test set, for tables, Hugging Face sets and arrays of names."
import pandas as pd, pytest

from upgradeability.datasets import load_task
from upgradeability.tasks import named_splits, settle_splits, split_of

NAMES = dict(
    train='train Train TRAIN training Training seg_train train-00000-of-00002 train_set training_set trainset TrainImages train2017 train_images split-train trn',
    valid='dev Dev devel eval Eval evaluation valid VALID validation Validation val Val testa seg_val valid_set development',
    test='test Testing TESTING seg_test testb test_set test-00000-of-00001 TestData')

@pytest.mark.parametrize("split", NAMES)
def test_usual_names(split):
    for name in NAMES[split].split(): assert split_of(name) == split, name

@pytest.mark.parametrize("name", ['cat', 'latest', 'contest', 'train_station', 'test tube', 'devil', 'valley', 'trainer', 'train_test', 'protest', '', '2017', 'train_猫', 'unsupervised', 'evaluate_me'])
def test_names_of_classes_are_no_splits(name): assert split_of(name) is None

def test_other_words_beside_only_where_they_may_be():
    assert split_of('eng.testa') is None and split_of('eng.testa', anywhere=True) == 'valid'
    assert split_of('train.dev.conll', anywhere=True) is None # speaks of two

def table(path, n, start=0):
    frame = pd.DataFrame(dict(text=[f'text number {i}' for i in range(start, start + n)], label=['a', 'b'] * (n // 2)))
    frame.to_csv(path, index=False, sep='\t' if path.suffix.lower() == '.tsv' else ',')

@pytest.mark.parametrize("names", [('train.csv', 'dev.csv', 'test.csv'), ('Training.csv', 'Validation.csv', 'Testing.csv'), ('seg_train.tsv', 'eval.tsv', 'seg_test.tsv'), ('TRAIN.CSV', 'VAL.CSV', 'TEST.CSV'),
                                   ('banking_train.csv', 'banking_valid.csv', 'banking_test.csv'), ('train-00000-of-00001.csv', 'validation-00000-of-00001.csv', 'test-00000-of-00001.csv')], ids=str)
def test_tables(tmp_path, names):
    for k, (name, n) in enumerate(zip(names, (40, 10, 20))): table(tmp_path/name, n, 100 * k)
    task = load_task(f'csv:{tmp_path}')
    assert {k: len(v) for k, v in task.splits.items()} == dict(train=40, valid=10, test=20) and set(task.origin.values()) == {'official'}
    assert task.reading['splits from'] == dict(zip(('train', 'valid', 'test'), names))
    assert task.n_train == 50 and task.sample(50) is task
    with pytest.raises(ValueError, match="n_train=45 is more than the 40 .* fewer than the 50"): task.sample(45)

def test_without_test_validation_is_the_test_set(tmp_path):
    table(tmp_path/'train.csv', 40), table(tmp_path/'dev.csv', 10, 100)
    task = load_task(f'csv:{tmp_path}')
    assert {k: (len(v), task.origin[k]) for k, v in task.splits.items()} == dict(train=(32, 'official'), valid=(8, 'drawn'), test=(10, 'official'))
    first = task.reading.entries[0]
    assert first.status == 'guess' and "there is no test split: 'dev.csv' is the test set, and valid is drawn from 'train.csv'" in first.value

def test_two_for_one_split_and_tables_that_are_none(tmp_path):
    table(tmp_path/'train.csv', 40), table(tmp_path/'test.csv', 10, 100), table(tmp_path/'train_labels.csv', 40)
    task = load_task(f'csv:{tmp_path}')
    assert {e.about: (e.value, e.status) for e in task.reading}['files not used'] == (['train_labels.csv'], 'finding')
    for other in ('training.csv', 'train.tsv'):
        table(tmp_path/other, 40)
        with pytest.raises(ValueError, match=f"has two for train, .*{other}"): load_task(f'csv:{tmp_path}')
        (tmp_path/other).unlink()

def test_no_train_is_refused_with_the_names_that_there_are():
    with pytest.raises(ValueError, match="The set has 'validation', 'test', and no train"): settle_splits(named_splits(['test', 'validation', 'cat'], 'The set'), 'The set')
    settled, reading = settle_splits(dict(train='Training'), 'The set')
    assert settled == {'': 'Training'} and 'valid and test are drawn from it' in str(reading.entries[0].value)

def test_hugging_face_sets(tmp_path):
    datasets = pytest.importorskip('datasets')
    rows = lambda n, k: datasets.Dataset.from_dict(dict(text=[f'{k} {i}' for i in range(n)], label=['a', 'b'] * (n // 2)))
    for name, n in [('train', 40), ('validation', 10), ('unsupervised', 6)]: rows(n, name).to_parquet(str(tmp_path/f'{name}-00000-of-00001.parquet'))
    task = load_task(f'hf:{tmp_path}')
    assert len(task.splits['test']) == 10 and task.origin['valid'] == 'drawn' and 'there is no test split' in task.reading.entries[0].value
