"Labels, columns and arrays: what was read, what is said of it, and what is refused."
import json

import numpy as np, pandas as pd
import pytest

from upgradeability import evaluate, load_task
from upgradeability.tasks import encode_labels, make_task
from upgradeability.texts import Pair, text_inputs

TEXTS = [f"a question about thing number {i}" for i in range(60)]
CLASSES = ["card", "rate", "lost"] * 20

def table(path, /, **columns):
    frame = pd.DataFrame(columns)
    writers = {".csv": lambda: frame.to_csv(path, index=False), ".tsv": lambda: frame.to_csv(path, sep="\t", index=False),
               ".parquet": lambda: frame.to_parquet(path), ".jsonl": lambda: path.write_text("".join(json.dumps(r) + "\n" for r in frame.to_dict("records")))}
    path.parent.mkdir(parents=True, exist_ok=True)
    writers[path.suffix]()
    return path

def findings(task): return {e.about: str(e.value) for e in task.reading.findings}

# ---------------------------------------------------------------- blanks, near-equal labels, words for nothing

BLANK = [" ", "\u00a0", "\t", "\u3000", "\u200b", "\ufeff"]

@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".jsonl"])
@pytest.mark.parametrize("blank", BLANK, ids=ascii)
def test_blanks_around_labels_are_stripped_and_counted(tmp_path, ending, blank):
    if (ending, blank) == (".tsv", "\t"): pytest.skip("a tab divides the columns")
    labels = [c + blank if i % 4 == 0 else c for i, c in enumerate(CLASSES)]
    task = load_task(f"csv:{table(tmp_path/f'a{ending}', text=TEXTS, label=labels)}")
    clean = load_task(f"csv:{table(tmp_path/f'b{ending}', text=TEXTS, label=CLASSES)}")
    assert task.classes == ("card", "lost", "rate") and task.fingerprint == clean.fingerprint
    assert "15 labels" in task.reading["blanks around labels"] and "blanks around labels" not in clean.reading

@pytest.mark.parametrize("make", [list, tuple, np.array, lambda y: np.array(y, object), pd.Series, pd.Categorical], ids=["list", "tuple", "array", "objects", "series", "categorical"])
def test_blanks_in_labels_of_arrays(make):
    task = load_task((TEXTS, make([c + " " * (i % 2) for i, c in enumerate(CLASSES)])))
    assert task.classes == ("card", "lost", "rate") and "30 labels" in task.reading["blanks around labels"]

def test_numbers_with_blanks_are_numbers(tmp_path):
    task = load_task(f"csv:{table(tmp_path/'a.csv', text=TEXTS, label=['9', '10 ', ' 9'] * 20)}")
    assert task.classes == ("9", "10")

NEAR = [("card", "Card"), ("credit card", "credit  card"), ("credit card", "credit\u00a0card"), ("caf\u00e9", "cafe\u0301"), ("\uff21", "A"), ("stra\u00dfe", "STRASSE"), ("1.0", "1"), ("a\u200bb", "ab")]

@pytest.mark.parametrize("a, b", NEAR, ids=ascii)
def test_nearly_equal_labels_are_a_finding_that_names_them(tmp_path, a, b):
    task = load_task(f"csv:{table(tmp_path/'a.csv', text=TEXTS, label=[a, b, 'other'] * 20)}")
    found = findings(task)["nearly equal labels"]
    assert len(task.classes) == 3 and all(ascii(o)[1:-1] in found or o in found for o in (a, b)) and "other" not in found and "(20)" in found

def test_nearly_equal_names_of_folders(tmp_path):
    from PIL import Image
    for c in ("cat", "Cat", "dog"):
        for i in range(5):
            (tmp_path/c).mkdir(exist_ok=True)
            Image.fromarray(np.random.default_rng(i).integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(tmp_path/c/f"{c}{i}.png")
    assert "'Cat' (5) and 'cat' (5)" in findings(load_task(f"folder:{tmp_path}"))["nearly equal labels"]

def test_different_labels_are_no_finding(tmp_path):
    labels = ["US", "USA", "C", "C++", "-1", "1", "a-b", "ab", "x1", "x2"] * 6
    assert "nearly equal labels" not in findings(load_task(f"csv:{table(tmp_path/'a.csv', text=TEXTS, label=labels)}"))

def test_a_class_of_test_only_that_is_nearly_one_of_train(tmp_path):
    table(tmp_path/"train.csv", text=TEXTS, label=CLASSES)
    table(tmp_path/"test.csv", text=TEXTS[:6], label=["Card", "rate", "lost"] * 2)
    with pytest.raises(ValueError, match="'Card' is in test but not in train.*'Card' and 'card' are nearly equal"): load_task(f"csv:{tmp_path}")

@pytest.mark.parametrize("word", ["nan", "None", "NULL", "n/a", "NA", "<NA>", "?"])
@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_words_for_nothing_are_said(tmp_path, word, ending):
    task = load_task(f"csv:{table(tmp_path/f'a{ending}', text=TEXTS, label=['a', 'b', word] * 20)}")
    assert word in task.classes and f"'{word}' (20)" in findings(task)["labels without meaning"]

def test_leading_zeros_are_kept(tmp_path):
    assert load_task(f"csv:{table(tmp_path/'a.csv', text=TEXTS, label=['007', '7', '010'] * 20)}").classes == ("007", "010", "7")

# ---------------------------------------------------------------- withheld labels

@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
@pytest.mark.parametrize("label, how", [("-1", "all -1"), ("", "empty"), ("?", "all ?"), (" ", "empty")])
def test_withheld_labels_of_the_test_split(tmp_path, ending, label, how):
    table(tmp_path/f"train{ending}", text=TEXTS, label=CLASSES)
    table(tmp_path/f"test{ending}", text=TEXTS[:9], label=[label] * 9)
    with pytest.raises(ValueError, match=rf"labels of the test split of .* withheld \({how.replace('?', '.')}, 9 rows\). Leave that split out .*drawn from train"): load_task(f"csv:{tmp_path}")
    table(tmp_path/f"dev{ending}", text=TEXTS[:30], label=CLASSES[:30])
    task = load_task(f"csv:{tmp_path}")
    assert len(task.splits["test"]) == 30 and len(task.y) == 90 and "of the test split" in findings(task)["withheld labels"]

def test_withheld_whole_numbers_and_a_missing_column(tmp_path):
    table(tmp_path/"train.csv", text=TEXTS, label=[0, 1] * 30)
    table(tmp_path/"test.csv", text=TEXTS[:9], label=[-1] * 9)
    with pytest.raises(ValueError, match="test split .* withheld .all -1"): load_task(f"csv:{tmp_path}")
    table(tmp_path/"test.csv", text=TEXTS[:9])
    with pytest.raises(ValueError, match="test split .* withheld .empty"): load_task(f"csv:{tmp_path}")

def test_withheld_labels_of_valid(tmp_path):
    for name, labels in dict(train=CLASSES, dev=[""] * 60, test=CLASSES).items(): table(tmp_path/f"{name}.csv", text=TEXTS, label=labels)
    task = load_task(f"csv:{tmp_path}")
    assert task.origin["valid"] == "drawn" and "of the valid split" in findings(task)["withheld labels"]

def test_withheld_labels_of_arrays():
    with pytest.raises(ValueError, match="test split .* withheld .all -1"): load_task((TEXTS, [0, 1] * 30, TEXTS[:5], [-1] * 5))
    with pytest.raises(ValueError, match="test split .* withheld .empty"): load_task((TEXTS, ["a", "b"] * 30, TEXTS[:5], [None] * 5))

def test_a_test_set_of_one_class_is_a_finding():
    with pytest.warns(UserWarning, match="in train but not in test"): task = load_task((TEXTS, [0, 1] * 30, TEXTS[:5], [0] * 5))
    assert "all 5 labels of the test split are '0'" in findings(task)["test labels"]

# ---------------------------------------------------------------- several labels per example

SEVERAL = {"bar": ["a|b", "a", "b"], "semicolon": ["a;c", "b; a", "c"], "comma": ["joy, anger", "joy", "anger"], "combinations": ["a|b", "b|c", "a|c"], "python lists": ["['a', 'b']", "['a']", "['b']"], "json lists": ['["a"]', '["a", "b"]', "[]"]}

@pytest.mark.parametrize("labels", SEVERAL.values(), ids=SEVERAL)
@pytest.mark.parametrize("way", ["csv", "arrays"])
def test_joined_labels_are_refused(tmp_path, labels, way):
    spec = f"csv:{table(tmp_path/'a.csv', text=TEXTS, label=labels * 20)}" if way == "csv" else (TEXTS, labels * 20)
    with pytest.raises(ValueError, match="[Ss]everal labels per example.*One label per example is needed"): load_task(spec)

@pytest.mark.parametrize("labels", [["Smith, John", "Smith, Karl", "Doe, John"], ["yes, surely", "no, never", "perhaps"], ["rock|pop", "folk", "jazz"], ["a;", "b;", "c"], ["a/b", "a", "b"]], ids=str)
def test_names_with_separators_are_classes(tmp_path, labels):
    assert len(load_task(f"csv:{table(tmp_path/'a.csv', text=TEXTS, label=labels * 20)}").classes) == 3

def test_a_bar_in_many_labels_is_a_finding(tmp_path):
    assert "'rock|pop'" in findings(load_task(f"csv:{table(tmp_path/'a.csv', text=TEXTS, label=['rock|pop', 'folk', 'jazz'] * 20)}"))["several labels?"]

@pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
def test_lists_of_labels_in_tables(tmp_path, ending):
    with pytest.raises(ValueError, match=r"Several labels per example of the column 'tags'.*60 rows are lists, row 1"):
        load_task(f"csv:{table(tmp_path/f'a{ending}', text=TEXTS, tags=[['a'], ['a', 'b']] * 30)}?label=tags")
    assert load_task(f"csv:{table(tmp_path/f'b{ending}', text=TEXTS, label=[['a'], ['b']] * 30)}").classes == ("a", "b")

def test_one_hot_columns_are_refused(tmp_path):
    several = table(tmp_path/"a.csv", comment=TEXTS, toxic=[0, 1] * 30, insult=[0, 1, 1] * 20, threat=[0] * 60)
    with pytest.raises(ValueError, match=r"'toxic', 'insult', 'threat'.*several labels per example.*\?label=toxic"): load_task(f"csv:{several}")
    assert load_task(f"csv:{several}?label=toxic").classes == ("0", "1")
    single = table(tmp_path/"b.csv", comment=TEXTS, cat=[1, 0] * 30, dog=[0, 1] * 30)
    with pytest.raises(ValueError, match="'cat', 'dog'.*one of them in each row.*idxmax"): load_task(f"csv:{single}")

@pytest.mark.parametrize("labels, words", [(np.eye(3, dtype=int)[[0, 1, 2] * 20], "argmax"), (np.eye(3).tolist() * 20, "argmax"), ([[1, 1, 0], [0, 1, 0]] * 30, "row 0 has 2 ones"), (np.array([[0, 0], [0, 1]] * 30), "row 0 has 0 ones"),
                                           ([["a"], ["a", "b"]] * 30, "row 1"), ([{"a"}, {"a", "b"}] * 30, "row 1")], ids=range(6))
def test_several_labels_in_arrays(labels, words):
    with pytest.raises(ValueError, match=words): load_task((TEXTS, labels))
    if words != "argmax":
        with pytest.raises(ValueError, match="Several labels per example"): load_task((TEXTS, labels))

def test_lists_of_one_label_are_that_label():
    assert load_task((TEXTS, [["a"], ["b"]] * 30)).classes == load_task((TEXTS, np.array([["a"], ["b"]] * 30))).classes == ("a", "b")

# ---------------------------------------------------------------- options that are text

WORDS = ["no", "yes", "on", "off", "null", "1e3", "007", "C++", "a+b", "true", "12:30"]

@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("quote", ["", "'"])
def test_columns_with_names_that_look_like_values(tmp_path, word, quote):
    path = table(tmp_path/"a.csv", **{"id": range(60), word: TEXTS, "1": CLASSES, "label": ["x", "y"] * 30})
    task = load_task(f"csv:{path}?text={quote}{word}{quote}&label={quote}1{quote}")
    assert task.classes == ("card", "lost", "rate") and task.inputs[3] == TEXTS[3] and repr(word) in task.reading["columns used"]

@pytest.mark.parametrize("grades", [["no", "partly", "yes"], ["off", "on"], ["null", "1e3"], ["3", "2", "1"], ["007", "8"], ["0.5", "1", "1.5"]], ids=str)
def test_grades_that_look_like_values(tmp_path, grades):
    path = table(tmp_path/"a.csv", text=TEXTS, label=(grades * 30)[:60])
    quoted = ", ".join(f"'{g}'" for g in grades)
    for written in (f"[{', '.join(grades)}]", f"[{quoted}]", ",".join(grades)): assert load_task(f"csv:{path}?grades={written}").classes == tuple(grades)

def test_messages_on_grades_never_suggest_what_was_given(tmp_path):
    path = table(tmp_path/"a.csv", text=TEXTS, label=["1", "2", "3"] * 20)
    with pytest.raises(ValueError, match="Unknown label '3'. Known: 1, 2, 4") as e: load_task(f"csv:{path}?grades=[1, 2, 4]")
    assert "Did you mean" not in str(e.value)
    with pytest.raises(ValueError, match="from low to high"): load_task(f"csv:{path}?grades=[1, 3, 2]")
    with pytest.raises(ValueError, match="Unknown column for the labels '5'"): load_task(f"csv:{path}?label=5")

def test_grades_of_words_say_that_they_count_by_position(tmp_path):
    task = load_task(f"csv:{table(tmp_path/'a.csv', text=TEXTS, label=['no', 'partly', 'yes'] * 20)}?grades=[no, partly, yes]")
    assert task.reading["grades"] == "words, each counted as its position: no 0, partly 1, yes 2"

def test_class_map_is_text():
    from upgradeability.evaluation import _class_map, _protocol
    from upgradeability.heads import class_columns
    assert _class_map("{no: [off, 2], yes: [1]}") == {"no": ["off", 2], "yes": [1]} and _class_map("null") is None
    assert class_columns(("no", "yes"), ("off", "on", "else"), 3, _class_map("{no: [off, 2], yes: [1]}")) == [[0, 2], [1]]
    assert class_columns(("0", "1"), ("1", "0"), 2, _class_map("{0: ['0'], 1: 0}")) == [[1], [0]]   # a name in quotation marks, a number without
    assert _protocol("as_is?class_map={no: [off]}").options == {"class_map": {"no": ["off"]}}
    assert _protocol("fine_tune?epochs=3&lrs=[1e-4, 1e-3]").options == {"epochs": 3, "lrs": [1e-4, 1e-3]}

def test_classes_given_as_text_for_numbers():
    assert encode_labels([2, 1, 2], ["1", "2"])[0].tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="named twice"): encode_labels(["a", "b"], ["a", "b", "a"])

# ---------------------------------------------------------------- columns

def test_reading_of_texts(tmp_path):
    table(tmp_path/"train.csv", id=range(60), text=TEXTS[:-1] + [""], label=CLASSES)
    table(tmp_path/"test.csv", id=range(9), text=TEXTS[:9], label=CLASSES[:9])
    reading = load_task(f"csv:{tmp_path}").reading
    assert reading["files"] == {"train": "train.csv", "test": "test.csv"} and reading["columns not used"] == ["id"]
    assert TEXTS[0] in reading["first example"] and "'card'" in reading["first example"] and reading["classes"] == {"card": 23, "lost": 23, "rate": 23}
    assert reading["empty texts"].startswith("1 of 69") and "official" in reading["splits"]["test"]

SECOND = [f"the second one speaks of item {i}" for i in range(60)]

@pytest.mark.parametrize("names", [("sentence1", "sentence2"), ("premise", "hypothesis"), ("question", "answer"), ("title", "body"), ("first", "second")])
def test_a_second_column_of_texts_is_said_and_can_be_read(tmp_path, names):
    path = table(tmp_path/"a.csv", **{names[0]: TEXTS, names[1]: SECOND, "label": ["same", "other"] * 30})
    task = load_task(f"csv:{path}")
    assert f"?text={','.join(names)}" in findings(task)["texts not read"]
    for option in (",".join(names), f"[{', '.join(names)}]"):
        pairs = load_task(f"csv:{path}?text={option}")
        assert pairs.inputs[2].first == TEXTS[2] and pairs.inputs[2].second == SECOND[2] and "texts not read" not in pairs.reading and "pairs" in pairs.reading
    assert load_task(f"csv:{path}?text={names[1]},{names[0]}").inputs[2].first == SECOND[2]

def test_other_columns_are_not_called_texts(tmp_path):
    path = table(tmp_path/"a.csv", text=TEXTS, label=CLASSES, date=["2024-01-01 10:00:00"] * 60, uid=[f"{i:032x}" for i in range(60)], url=[f"http://a.b/{i}" for i in range(60)], price=range(60), kind=["very good", "not so bad"] * 30)
    assert not findings(load_task(f"csv:{path}"))

def test_wrong_columns_of_pairs(tmp_path):
    path = table(tmp_path/"a.csv", a=TEXTS, b=SECOND, c=SECOND, label=CLASSES)
    with pytest.raises(ValueError, match="two different ones"): load_task(f"csv:{path}?text=a,a")
    with pytest.raises(ValueError, match="two different ones"): load_task(f"csv:{path}?text=a,b,c")
    with pytest.raises(ValueError, match="Unknown column for the texts 'd'"): load_task(f"csv:{path}?text=a,d")
    with pytest.raises(ValueError, match="both the texts and the labels"): load_task(f"csv:{path}?text=a,label&label=label")
    comma = table(tmp_path/"b.csv", **{"a,b": TEXTS, "label": CLASSES})
    assert load_task(f"csv:{comma}?text=a,b").inputs[0] == TEXTS[0]

@pytest.mark.parametrize("name", ["image", "path", "file_name", "text"])
@pytest.mark.parametrize("form", ["pics/{}.jpg", "http://a.b/c/{}.PNG?size=2", "C:\\My pictures\\{}.webp", "data:image/png;base64,iVBOR{}"])
def test_addresses_of_pictures_are_refused(tmp_path, name, form):
    files = [form.format(i) for i in range(60)]
    with pytest.raises(ValueError, match=f"column '{name}' contains pictures or their addresses.*folder:PATH"): load_task(f"csv:{table(tmp_path/'a.csv', **{name: files, 'label': CLASSES})}")
    with pytest.raises(ValueError, match="addresses of pictures.*folder:PATH"): load_task((files, CLASSES))
    both = load_task(f"csv:{table(tmp_path/'b.csv', picture=files, caption=TEXTS, label=CLASSES)}")
    assert both.inputs[0] == TEXTS[0] and "'picture'" in findings(both)["pictures not read"]

@pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
def test_lists_of_words_are_refused(tmp_path, ending):
    path = table(tmp_path/f"a{ending}", tokens=[t.split() for t in TEXTS], label=CLASSES)
    with pytest.raises(ValueError, match=r"column 'tokens' contains lists.*str.join.*conll:"): load_task(f"csv:{path}")

# ---------------------------------------------------------------- lists as arrays

@pytest.mark.parametrize("texts, labels", [(TEXTS, CLASSES), (tuple(TEXTS), tuple(CLASSES)), (np.array(TEXTS), CLASSES), (pd.Series(TEXTS, index=range(7, 67)), pd.Series(CLASSES)), (TEXTS, [["card"], ["rate"], ["lost"]] * 20)], ids=range(5))
@pytest.mark.parametrize("outer", [tuple, list])
def test_lists_of_texts_are_one_task(texts, labels, outer):
    from upgradeability.evaluation import _tasks
    for arrays in (outer([texts, labels]), outer([texts, labels, texts[:6], labels[:6]])):
        task, = _tasks(arrays)
        assert task.medium.name == "text" and task.inputs[1] == TEXTS[1] and type(task.inputs[1]) is str and task.classes == ("card", "lost", "rate")

def test_lists_of_numbers_and_several_tasks():
    from upgradeability.evaluation import _tasks
    x, y = np.random.default_rng(0).random((40, 3)), [0, 1] * 20
    task, = _tasks((x.tolist(), y))
    assert task.fingerprint == load_task((x, np.array(y))).fingerprint == load_task((pd.DataFrame(x), pd.Series(y))).fingerprint
    for several in ([(TEXTS, CLASSES), (x.tolist(), y)], ((TEXTS, CLASSES), (x, np.array(y))), [(TEXTS, CLASSES), "digits"]): assert len(_tasks(several)) == 2

def test_pairs_in_lists():
    task = load_task(([*zip(TEXTS, SECOND)], CLASSES))
    assert task.inputs[4] == Pair(TEXTS[4], SECOND[4]) and task.inputs[4].second == SECOND[4]

@pytest.mark.parametrize("arrays, words", [
    (([t.split() for t in TEXTS], CLASSES), "Example 0 is a list of words.*join"), ((["a", 1] * 30, CLASSES), "Text 1 is no text but 1"), (([1, "a"] * 30, CLASSES), "numeric row"), (([None, *TEXTS[1:]], CLASSES), "Text 0 is no text but None"),
    ((TEXTS, ["a", 1] * 30), "mix text and numbers"), ((TEXTS, [1] * 30 + ["1"] * 30), "mix text and numbers"), (([[1, 2]] * 59 + [[1]], CLASSES), "Examples differ in size.*example 59"), ((TEXTS, CLASSES[:5]), "equal lengths"), ((TEXTS, CLASSES, TEXTS), "got 3"),
    ((TEXTS, "card"), "list, str"), (([b"a"] * 60, CLASSES), "is no text but b'a'"), ((TEXTS, [0, 1] * 30, TEXTS, ["0", "1"] * 30), "mix text and numbers")], ids=range(12))
def test_lists_that_cannot_be_read(arrays, words):
    with pytest.raises((ValueError, TypeError), match=words): load_task(arrays)

def test_evaluate_takes_lists():
    pytest.importorskip("transformers")
    df = evaluate("bundled:minilm", (["good day to you", "go away now"] * 20, ["nice", "rude"] * 20), protocols="knn", dtype="float32")
    assert (df.error == "").all() and df.test[df.protocol == "knn"].iloc[0] == 1

# ---------------------------------------------------------------- hf:

@pytest.fixture
def sets(): return pytest.importorskip("datasets")

def test_hugging_face_tables_are_read_as_the_file_says(tmp_path, sets):
    texts = ["null", "NA", "nan", "None", "007", "1e3", "", *TEXTS[7:]]
    labels = ["null", "001", "true"] * 20
    table(tmp_path/"train.csv", text=texts, label=labels); table(tmp_path/"test.csv", text=texts[:9], label=labels[:9])
    task = load_task(f"hf:{tmp_path}")
    assert list(task.inputs)[:7] == texts[:7] and task.classes == ("001", "null", "true")
    assert task.reading["splits of the set"] == {"train": "train", "test": "test"} and "'null' (23)" in findings(task)["labels without meaning"]

@pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
def test_hugging_face_files_of_other_kinds(tmp_path, sets, ending):
    table(tmp_path/f"train{ending}", text=["null", *TEXTS[1:]], label=["null", "NA"] * 30); table(tmp_path/f"test{ending}", text=TEXTS[:9], label=["null", "NA", "NA"] * 3)
    task = load_task(f"hf:{tmp_path}")
    assert task.inputs[0] == "null" and task.classes == ("NA", "null")

def glue(sets, folder, **labels):
    features = sets.Features(dict(sentence1=sets.Value("string"), sentence2=sets.Value("string"), label=sets.ClassLabel(names=["not_same", "same"])))
    for split, values in labels.items():
        part = sets.Dataset.from_dict(dict(sentence1=TEXTS[:len(values)], sentence2=SECOND[:len(values)], label=values), features=features)
        part.to_parquet(folder/f"{split}.parquet")
    return f"hf:{folder}"

def test_class_labels_keep_their_names_and_withheld_ones_are_said(tmp_path, sets):
    spec = glue(sets, tmp_path, train=[0, 1] * 30, validation=[1, 0] * 5, test=[-1] * 7)
    task = load_task(spec + "?text=sentence1,sentence2")
    assert task.classes == ("not_same", "same") and len(task.splits["test"]) == 10 and "of the test split" in findings(task)["withheld labels"]
    assert "?text=sentence1,sentence2" in findings(load_task(spec))["texts not read"]

def test_withheld_test_without_validation(tmp_path, sets):
    with pytest.raises(ValueError, match="labels of the test split .* withheld"): load_task(glue(sets, tmp_path, train=[0, 1] * 30, test=[-1] * 7))

def test_pictures_behind_hf_are_sent_to_folder(tmp_path, sets):
    from PIL import Image
    for split in ("train", "test"):
        for c in "ab":
            (tmp_path/"pics"/split/c).mkdir(parents=True)
            for i in range(3): Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path/"pics"/split/c/f"{i}.png")
    with pytest.raises(ValueError, match=f"contains pictures.*write folder:{tmp_path/'pics'}"): load_task(f"hf:{tmp_path/'pics'}")
    part = sets.Dataset.from_dict(dict(image=[str(tmp_path/"pics"/"train"/"a"/"0.png")] * 6, label=[0, 1] * 3)).cast_column("image", sets.Image())
    (tmp_path/"set").mkdir()
    for split in ("train", "test"): part.to_parquet(tmp_path/"set"/f"{split}.parquet")
    with pytest.raises(ValueError, match="contains pictures"): load_task(f"hf:{tmp_path/'set'}")

def test_lists_of_labels_behind_hf(tmp_path, sets):
    table(tmp_path/"train.parquet", text=TEXTS, label=[[0], [0, 1]] * 30); table(tmp_path/"test.parquet", text=TEXTS, label=[[0], [0, 1]] * 30)
    with pytest.raises(ValueError, match="Several labels per example of the column 'label'"): load_task(f"hf:{tmp_path}")

# ---------------------------------------------------------------- specs in a row

def test_commas_in_options_divide_no_tasks(tmp_path):
    from upgradeability.evaluation import _task_specs, _tasks
    path = table(tmp_path/"a.csv", sentence1=TEXTS, sentence2=SECOND, label=["no", "yes"] * 30)
    pairs, digits = _tasks(f"csv:{path}?text=sentence1,sentence2, digits")
    assert pairs.inputs[1].second == SECOND[1] and digits.name == "digits"
    assert len(_tasks(f"csv:{path}?text=sentence1&grades=no, yes")) == 1
    assert _task_specs("digits, csv:a?label=b, c,csv:d") == ["digits", "csv:a?label=b, c", "csv:d"] and _task_specs("[digits, cifar10]") == ["digits", "cifar10"]

def test_options_of_models_are_text_where_their_loader_says_so(monkeypatch):
    from upgradeability.models import MODELS, load_backbone
    seen = {}
    def load(name, *, prefix:str="", size:int=1, prompt:str|None=None): seen.update(prefix=prefix, size=size, prompt=prompt); raise OSError("enough")
    monkeypatch.setitem(MODELS, "mine", load)
    with pytest.raises(OSError, match="enough"): load_backbone("mine:x?prefix=query: &size=2&prompt=no")
    assert seen == dict(prefix="query: ", size=2, prompt="no")

def test_classes_that_a_source_names_are_meant():
    task = make_task("t", text_inputs(TEXTS), ["A", "a", "B"] * 20, {}, medium="text", classes=["A", "B", "a"])
    assert not task.reading.findings and task.classes == ("A", "B", "a")
