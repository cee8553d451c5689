"Rows that belong together: how groups are declared, and that no split, fold, subset or neighbour divides them."
from dataclasses import replace

import numpy as np, pandas as pd, pytest, torch
from PIL import Image
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from upgradeability import evaluate, learning_curve, load_backbone, rank_models
from upgradeability.datasets import load_task
from upgradeability.evaluation import read_predictions, write_predictions
from upgradeability.features import Features, cache_key
from upgradeability.groups import class_counts, draw_test, draw_whole, group_codes, order_of_groups, valid_groups, whole_folds
from upgradeability.intervals import score
from upgradeability.media import array_inputs
from upgradeability.metrics import Predictions
from upgradeability.protocols import PROTOCOLS, choice_folds, fit_rows, knn, linear_probe, units_to_fit
from upgradeability.tasks import make_task, nested_order, split_valid
from upgradeability.transfer import probe_score, transferability

def patients(n=40, rows=30, noise=.05, seed=0, d=8):
    "(x, y, patient): nearly identical rows of each patient, whose label is independent of the features."
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(n), rows)
    y = rng.permutation(np.arange(n) % 2)[patient]
    x = rng.normal(size=(n, d))[patient] + rng.normal(scale=noise, size=(n * rows, d))
    return x.astype(np.float32), y, patient

def task_of(x, y, groups=None, splits=None, **more):
    return make_task("t", array_inputs(np.asarray(x, np.float32)), y, splits or {}, medium="array", groups=groups, **more)

def given(task):
    "The rows of arrays as their own features."
    rows = np.arange(len(task.y))
    f = Features(np.asarray(task.inputs.items, np.float32), task.y, rows, task.groups, task.splits, None, {})
    return lambda backbone: f

def are_whole(task, group):
    "Whether no group is in two splits."
    own = [set(group[rows]) for rows in task.splits.values()]
    return sum(map(len, own)) == len(set.union(*own))

# ---- the case: many rows of forty patients

def test_known_patients_are_recognised_and_new_ones_are_not():
    by_row, by_patient = [], []
    for seed in range(6):
        x, y, patient = patients(seed=seed)
        for found, groups in ((by_row, None), (by_patient, patient)):
            out = knn(None, task := task_of(x, y, groups), given(task))
            found.append([float(score(out[split], "accuracy")) for split in ("train", "test")])
            assert are_whole(task, patient) == (groups is not None)
    by_row, by_patient = np.mean(by_row, 0), np.mean(by_patient, 0)
    assert by_row.min() > .99
    error = .5 / np.sqrt(6 * 10) # of 60 new patients
    assert abs(by_patient[1] - .5) < 3 * error and by_patient[0] < .75 # train too: all rows of the patient are left out

@pytest.mark.parametrize("protocol", ["linear_probe", "majority"])
def test_predictions_are_grouped_by_patient(protocol):
    x, y, patient = patients(n=20, rows=5)
    task = task_of(x, y, [f"p{i}" for i in patient])
    test = PROTOCOLS[protocol](None, task, given(task))["test"]
    assert test.n_units == len(set(patient[task.splits["test"]])) and test.unit is None
    assert score(test, "accuracy").n_units == test.n_units < len(test)

# ---- nothing changes where nothing is declared

def test_undeclared_tasks_keep_their_fingerprint():
    x, y, patient = patients(n=10, rows=4)
    plain = task_of(x, y)
    assert plain.group is None and plain.groups is None and plain.fingerprint == "584cffdc95296c68"
    assert load_task("digits").fingerprint == "3295da2ea281dc39"
    grouped, other = task_of(x, y, patient), task_of(x, y, np.repeat(np.arange(20), 2))
    assert len({plain.fingerprint, grouped.fingerprint, other.fingerprint}) == 3
    assert grouped.fingerprint == task_of(x, y, [f"named {i}" for i in patient]).fingerprint # names do not matter
    assert grouped.inputs.fingerprint == plain.inputs.fingerprint # by which features are cached

def test_a_group_for_each_row_is_no_group():
    x, y, _ = patients(n=20, rows=4)
    plain, alone = task_of(x, y), task_of(x, y, np.arange(80))
    assert alone.group is None and alone.fingerprint == plain.fingerprint
    assert all((alone.splits[s] == plain.splits[s]).all() for s in plain.splits)
    assert "each of the 80 examples is a group of its own" in alone.reading["groups"] and alone.reading.findings

# ---- orders, splits, subsets

def mixed(seed, n_groups=30, n_classes=3, most=40):
    "(stratum, group) of groups of uneven sizes, in which classes are mixed unevenly."
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, most, n_groups)
    group = np.repeat(np.arange(n_groups), sizes)
    p = rng.dirichlet(np.ones(n_classes), n_groups)
    stratum = np.array([rng.choice(n_classes, p=p[g]) for g in group])
    return stratum, group

@pytest.mark.parametrize("seed", range(8))
def test_subsets_are_nested_whole_and_as_large_as_groups_allow(seed):
    stratum, group = mixed(seed)
    counts = class_counts(stratum, group)
    order = order_of_groups(counts, seed)
    ends = np.cumsum(np.bincount(group)[order])
    assert sorted(order) == [*range(30)]
    before, valid_before = set(), set()
    for n in (120, 200, 300, len(group)):
        train, valid = draw_whole(stratum, group, seed, n)
        taken = {*group[train], *group[valid]}
        assert len(train) + len(valid) == np.isin(group, [*taken]).sum() == ends[ends <= n].max() # whole, and the largest number
        assert not set(group[train]) & set(group[valid]) and before <= {*train, *valid}
        if valid_before: assert valid_before <= set(valid) # fewer than five groups of a class leave none
        before, valid_before = {*train, *valid}, set(valid)
    assert .12 < len(valid) / len(group) < .28

@pytest.mark.parametrize("seed", range(8))
def test_beginnings_are_closer_to_the_shares_of_classes_than_at_random(seed):
    stratum, group = mixed(seed, n_groups=60)
    counts = class_counts(stratum, group).toarray()
    def distance(order):
        sums = counts[order].cumsum(0)
        return np.abs(sums / sums.sum(1, keepdims=True) - counts.sum(0) / counts.sum())[5:].mean()
    rng = np.random.default_rng(seed)
    at_random = np.mean([distance(rng.permutation(60)) for _ in range(50)])
    assert distance(order_of_groups(class_counts(stratum, group), seed)) < .6 * at_random

def test_groups_of_one_row_give_every_fifth_of_each_class():
    y = np.random.default_rng(0).integers(0, 3, 90)
    order = nested_order(y, 0)
    assert (valid_groups(class_counts(y, np.arange(90)), order) == split_valid(y[order])).all()

@pytest.mark.parametrize("seed", range(8))
def test_test_has_a_quarter_and_leaves_train_every_class(seed):
    stratum, group = mixed(seed)
    is_test = draw_test(stratum, group, seed)
    assert .18 < is_test.mean() < .32 and not set(group[is_test]) & set(group[~is_test])
    assert set(stratum[is_test]) == set(stratum[~is_test]) == {0, 1, 2}

def test_seeds_draw_other_groups():
    stratum, group = mixed(0)
    drawn = {tuple(np.unique(group[draw_test(stratum, group, seed)])) for seed in range(10)}
    assert len(drawn) >= 8

def test_one_giant_group():
    x, y, patient = patients(n=20, rows=5)
    giant = np.r_[patient, np.full(900, 20)]
    rng = np.random.default_rng(0)
    x, y = np.r_[x, rng.normal(size=(900, 8))], np.r_[y, rng.integers(0, 2, 900)]
    task = task_of(x, y, giant)
    assert 20 not in giant[task.splits["test"]] and are_whole(task, giant)
    assert "'20' has 900 of 1,000 rows (90%)" in task.reading["largest group"]
    assert len(set(giant[task.splits["test"]])) == 5 or 25 <= len(task.splits["test"]) <= 60
    assert task.sample(60).n_train <= 60 and 20 not in giant[fit_rows(task.sample(60))]
    out = knn(None, task, given(task))
    assert np.isfinite(float(score(out["test"], "accuracy")))

def test_n_train_between_groups():
    x, y, patient = patients(n=40, rows=10)
    task = task_of(x, y, patient)
    assert [task.sample(n).n_train for n in (20, 29, 30, 155)] == [20, 20, 30, 150]
    assert task.sample(task.n_train) is task
    with pytest.raises(ValueError, match="n_train=19 is too small for whole groups: the first 2 have every class and 20 labels"): task.sample(19)
    with pytest.raises(ValueError, match="n_train=5,?000 is more than the 300 training labels"): task.sample(5000)
    sizes = [task.sample(n, seed=3) for n in (50, 100, 200, 290)]
    for small, large in zip(sizes, sizes[1:]):
        assert set(fit_rows(small)) < set(fit_rows(large))
        assert not len(small.splits["valid"]) or set(small.splits["valid"]) <= set(large.splits["valid"])
        assert are_whole(large, patient)

def test_few_groups_of_a_class_leave_no_valid_set():
    x, y, patient = patients(n=8, rows=10)
    task = task_of(x, y, patient)
    assert not len(task.splits["valid"]) and are_whole(task, patient)
    out = linear_probe(None, task, given(task))
    assert "cross-validation" in out["test"].meta["choices"]["by"]

# ---- folds and neighbours

@pytest.mark.parametrize("seed", range(4))
def test_folds_are_whole(seed):
    stratum, group = mixed(seed)
    fold = whole_folds(stratum, group)
    assert (pd.Series(fold).groupby(group).nunique() == 1).all() and len(set(fold)) == 5
    for fit, judge in choice_folds(stratum, len(stratum), group, in_proportion=True):
        assert not set(group[fit]) & set(group[judge]) and set(stratum[judge]) <= set(stratum[fit])
    assert not whole_folds(stratum, np.zeros(len(stratum), int)).any()

@pytest.mark.parametrize("seed", range(4))
def test_knn_on_train_leaves_out_the_whole_group(seed):
    x, y, patient = patients(n=9, rows=12, noise=1., seed=seed) # too few groups of a class for a valid set
    task = task_of(x, y, patient)
    out = knn(None, task, given(task))
    rows = fit_rows(task)
    k = out["train"].meta["choices"]["k"]
    model = KNeighborsClassifier(k, metric="cosine", algorithm="brute")
    p = cross_val_predict(model, x[rows], y[rows], groups=patient[rows], cv=LeaveOneGroupOut(), method="predict_proba")
    is_tied = np.isclose(p[:, 0], p[:, 1])
    assert out["train"].meta["choices"]["by"].startswith("leave-one-out")
    assert (out["train"].pred == p.argmax(1))[~is_tied].all() and not is_tied.all()

def test_scores_before_adapting_leave_out_whole_groups():
    x, y, patient = patients(n=30, rows=20)
    assert probe_score(x, y) > .6 > probe_score(x, y, groups=patient)
    df = transferability(x, y, scores="probe_score", groups=patient, n_null=0).set_index("score")
    plain = transferability(x, y, scores="probe_score", n_null=0).set_index("score")
    assert df.value["probe_score"] == probe_score(x, y, groups=patient)
    assert df.se["probe_score"] > 2 * plain.se["probe_score"] # thirty patients, not six hundred examples
    with pytest.raises(ValueError, match="5 for 1 groups"): probe_score(x, y, groups=np.zeros(600))

# ---- labels of groups

def test_labels_of_any_type():
    codes, names = group_codes(["a", 7, 7., " 7", np.int64(8), True, ("a", 1)], 7)
    assert codes.tolist() == [0, 1, 1, 1, 2, 3, 4] and names == ["a", "7", "8", "True", "('a', 1)"]
    assert group_codes(pd.Series(["x", "y", "x"], dtype="string"), 3)[0].tolist() == [0, 1, 0]
    assert group_codes(pd.Series(["x", "y", "x"], dtype="category"), 3)[0].tolist() == [0, 1, 0]
    assert group_codes(np.array([3, 1, 3]), 3)[0].tolist() == [0, 1, 0]

@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT, "", "  "], ids=repr)
def test_missing_labels_are_refused_with_count_and_place(missing):
    with pytest.raises(ValueError, match=r"2 labels of groups are missing, the first at rows \[1, 3\]"): group_codes(["a", missing, "b", missing], 4)

def test_what_cannot_be_divided_is_refused():
    x, y, patient = patients(n=10, rows=4)
    with pytest.raises(ValueError, match="40 labels and 39 labels of groups"): task_of(x, y, patient[1:])
    with pytest.raises(ValueError, match=r"shape \(40, 1\)"): task_of(x, y, patient[:, None])
    with pytest.raises(ValueError, match="texts or numbers; one is"): task_of(x, y, [[1, 2]] * 40)
    with pytest.raises(ValueError, match="are in one group, 'a': there is nothing to divide"): task_of(x, y, ["a"] * 40)
    with pytest.raises(ValueError, match="has 2 groups .*at least 3 are needed"): task_of(x, y, np.arange(40) % 2)
    with pytest.raises(ValueError, match="each class is one group"): task_of(x, y, [f"class {c}" for c in y])
    lonely = np.where(y == 1, 99, patient)
    with pytest.raises(ValueError, match="all examples of the class '1' are in one group, '99' "): task_of(x, y, lonely)

def test_users_are_groups_already(tmp_path):
    pd.DataFrame(dict(user=[1, 1, 2], item=[1, 2, 1])).to_csv(tmp_path/"log.csv", index=False)
    with pytest.raises(ValueError, match="grouped by users already"): load_task(f"interactions:{tmp_path}/log.csv?group=user")

# ---- official splits

def test_an_official_split_that_cuts_groups_is_a_finding():
    x, y, patient = patients(n=20, rows=10)
    splits = dict(train=np.arange(155), test=np.arange(155, 200))
    task = task_of(x, y, patient, splits)
    [found] = [e for e in task.reading.findings if e.about == "groups in two splits"]
    assert "1 of 5 groups of test are also in train, such as '15': 5 of 45 test rows (11%)" in found.value
    assert "<b>1 of 5 groups" in task._repr_html_()
    assert {len(task.splits[s]) for s in ("test",)} == {45}
    valid = task_of(x, y, patient, dict(train=np.arange(105), valid=np.arange(105, 150), test=np.arange(150, 200)))
    assert "of valid are also in train, such as '10': 5 of 45 valid rows (11%)" in valid.reading["groups in two splits"]
    whole = task_of(x, y, patient, dict(train=np.arange(150), test=np.arange(150, 200)))
    assert "groups in two splits" not in whole.reading and are_whole(whole, patient)

# ---- sources

def visits(n=24, rows=4, seed=0):
    x, y, patient = patients(n, rows, seed=seed, d=3)
    return pd.DataFrame(dict(
        patient=[f"p{i:02d}" for i in patient], text=[f"visit {i} of somebody" for i in range(len(y))],
        label=np.where(y == 1, "ill", "healthy"), age=20 + patient + y / 2, a=x[:, 0], b=x[:, 1]))

def store(frame, path):
    if path.suffix == ".parquet": frame.to_parquet(path)
    elif path.suffix == ".jsonl": frame.to_json(path, orient="records", lines=True)
    else: frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path

@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "jsonl"])
def test_tables(tmp_path, ending):
    frame = visits()
    path = store(frame, tmp_path/f"visits.{ending}")
    task = load_task(f"csv:{path}?text=text&label=label&group=patient")
    assert task.name == f"csv:{path}?group=patient" and len(set(task.group)) == 24
    assert are_whole(task, frame.patient.to_numpy())
    assert task.reading["groups from"] == "the column 'patient'" and task.reading["groups"]["largest"] == 4
    assert "patient" not in task.reading["columns not used"]

def test_a_column_of_groups_is_no_label_and_no_text(tmp_path):
    frame = visits()[["patient", "text", "label"]].rename(columns=dict(patient="category", label="verdict"))
    path = store(frame, tmp_path/"visits.csv")
    assert load_task(f"csv:{path}?group=category").classes == ("healthy", "ill") # not the usual name of a label
    titles = store(visits()[["patient", "label"]].rename(columns=dict(patient="title")), tmp_path/"titles.csv")
    same = load_task(f"csv:{titles}?text=title&group=title")
    assert len(set(same.group)) == 24 and same.inputs[0] == "p00"
    with pytest.raises(ValueError, match="'verdict' cannot be both the labels and the groups"): load_task(f"csv:{path}?label=verdict&group=verdict")
    with pytest.raises(ValueError, match="column for the groups 'categry'. Did you mean 'category'"): load_task(f"csv:{path}?group=categry")
    frame.loc[[3, 7], "category"] = ""
    with pytest.raises(ValueError, match=r"2 labels of groups are missing, the first at rows \[3, 7\]"): load_task(f"csv:{store(frame, path)}?group=category")

def test_grades_and_numbers(tmp_path):
    frame = visits().assign(stars=lambda f: f.groupby("patient").ngroup() % 3 + 1)
    path = store(frame[["patient", "text", "stars"]], tmp_path/"stars.csv")
    assert are_whole(load_task(f"csv:{path}?grades=true&group=patient"), frame.patient.to_numpy())
    path = store(frame[["patient", "a", "b", "age"]].assign(patient=frame.patient.str[1:]), tmp_path/"ages.csv")
    task = load_task(f"csv:{path}?target=age&group=patient")
    assert task.reading["columns used"] == dict(features=["a", "b"], target="age") and task.inputs[0].shape == (2,)
    assert are_whole(task, frame.patient.to_numpy()) and len(task.splits["test"]) in range(20, 29)
    for protocol in task.kind.protocols():
        if protocol in ("majority", "knn", "linear_probe"):
            test = task.kind.protocols()[protocol](None, task, given(task))["test"]
            assert test.n_units == len(set(test.groups)) == len(test) // 4
    with pytest.raises(ValueError, match="'age' cannot be both"): load_task(f"csv:{path}?target=age&group=age")
    texts = store(frame[["patient", "text", "age"]], tmp_path/"texts.csv")
    assert are_whole(load_task(f"csv:{texts}?target=age&group=patient"), frame.patient.to_numpy())

def test_hugging_face_sets(tmp_path):
    pytest.importorskip("datasets")
    frame = visits()
    store(frame, tmp_path/"train.parquet")
    task = load_task(f"hf:{tmp_path}?text=text&label=label&group=patient")
    assert are_whole(task, frame.patient.to_numpy()) and len(set(task.group)) == 24

@pytest.fixture
def clips(tmp_path):
    "Four frames of each of twelve films in class folders."
    rng = np.random.default_rng(0)
    for film in range(12):
        folder = tmp_path/"clips"/("cat" if film % 2 else "dog")/f"film{film}"
        folder.mkdir(parents=True)
        for i in range(4): Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder/f"{i}.png")
    return tmp_path/"clips"

@pytest.mark.parametrize("rule", ["level:-1", "level:1", r"film(\d+)/", r"/(film[0-9]{1,2})/\d+.png", "(.+)/"])
def test_folders(clips, rule):
    task = load_task(f"folder:{clips}?group={rule}")
    film = np.array([path.parent.name for path in task.inputs.items])
    assert len(set(task.group)) == 12 and are_whole(task, film)
    assert load_task(task.name).fingerprint == task.fingerprint
    assert "of the paths: cat/film1/0.png is in group" in task.reading["groups from"]

@pytest.mark.parametrize("rule, message", [
    ("level:0", "each class is one group"), ("level:2", "48 of 48 files have no group by .*such as 'cat/film1/0.png'. .*level:-1"),
    ("film1(.)/", "of 48 files have no group by .*such as"), (r"film\d+", "has no parentheses.*takes level:-1"),
    ("film(", "is no regular expression: .*takes level:-1"), ("level:x", "names no level.*level:0 the first")])
def test_rules_that_do_not_fit(clips, rule, message):
    with pytest.raises(ValueError, match=message): load_task(f"folder:{clips}?group={rule}")

def test_metadata_of_pictures(clips):
    files = sorted(clips.rglob("*.png"))
    frame = pd.DataFrame(dict(
        file_name=[f.relative_to(clips).as_posix() for f in files], age=np.arange(48) / 3, film=[f.parent.name for f in files]))
    frame.to_csv(clips/"metadata.csv", index=False)
    by_column, by_path = (load_task(f"folder:{clips}?target=age&group={group}") for group in ("film", "level:-1"))
    assert (by_column.group == by_path.group).all() and are_whole(by_column, frame.film.to_numpy())
    with pytest.raises(ValueError, match="column for the groups 'flim'. Did you mean 'film'"): load_task(f"folder:{clips}?target=age&group=flim")

def test_arrays():
    x, y, patient = patients(n=20, rows=5)
    task = load_task((x, y), groups=patient)
    assert are_whole(task, patient) and task.name != load_task((x, y)).name
    both = load_task((x[:70], y[:70], x[70:], y[70:]), groups=patient)
    assert "groups in two splits" not in both.reading and load_task((x[:72], y[:72], x[72:], y[72:]), groups=patient).reading["groups in two splits"]
    with pytest.raises(ValueError, match="groups= is for arrays"): load_task("digits", groups=patient)

# ---- sentences of documents

def documents(n=12, sentences=4, words=5):
    rng = np.random.default_rng(0)
    sentence = np.repeat(np.arange(n * sentences), words)
    tags = np.where(rng.random(len(sentence)) < .3, "B-PER", "O")
    starts = np.flatnonzero(np.diff(sentence, prepend=-1))
    inputs = array_inputs(rng.normal(size=(n * sentences, 3)).astype(np.float32))
    return inputs, tags.tolist(), sentence, sentence // sentences, starts

def test_sentences_of_declared_documents():
    inputs, tags, sentence, document, _ = documents()
    task = make_task("docs", inputs, tags, {}, medium="words", kind="tagging", unit=sentence, groups=document, classes=["B-PER", "O"])
    assert are_whole(task, document) and task.n_train == len(set(sentence[fit_rows(task)]))
    assert task.sample(10).n_train == 8 and are_whole(task.sample(10), document)
    assert (units_to_fit(task) == task.group[fit_rows(task)]).all()
    test = PROTOCOLS["majority"](None, task, None)["test"]
    assert test.n_units == len(set(document[test.ids])) and (test.unit == sentence[test.ids]).all()
    by_sentence = Predictions(test.ids, test.y, test.y, groups=test.unit, meta=test.meta)
    by_document = Predictions(test.ids, test.y, test.y, groups=test.groups, unit=test.unit, meta=test.meta)
    assert score(by_sentence, "span_f1").value == score(by_document, "span_f1").value == 1
    with pytest.raises(ValueError, match="a sentence belongs to one group"):
        make_task("docs", inputs, tags, {}, medium="words", kind="tagging", unit=sentence, groups=np.arange(len(tags)), classes=["B-PER", "O"])

def test_stored_predictions_keep_sentences_and_documents(tmp_path):
    unit, groups = np.repeat(np.arange(4), 2), np.repeat([0, 1], 4)
    p = Predictions(range(8), [0, 1] * 4, [0] * 8, groups=groups, unit=unit)
    plain = Predictions(range(8), [0, 1] * 4, [0] * 8, groups=groups)
    assert (p.take(p.y == 1).unit == [0, 1, 2, 3]).all()
    with pytest.raises(ValueError, match=r"`unit` must have shape \(8,\)"): Predictions(range(8), [0, 1] * 4, [0] * 8, unit=unit[1:])
    for key, q in dict(both=p, one=plain).items():
        write_predictions(tmp_path, key, dict(train=replace(q, split='train'), test=Predictions(q.ids, q.y, q.pred, groups=q.groups, unit=q.unit, meta=q.meta)))
    both, one = (read_predictions(tmp_path, key)["test"] for key in ("both", "one"))
    assert (both.unit == unit).all() and (both.groups == groups).all() and one.unit is None and (one.groups == groups).all()

# ---- from end to end

class Mixed(torch.nn.Module):
    "A network of one layer, whose random weights lose some directions."
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = torch.nn.Linear(6, 3)
    def forward(self, x): return torch.relu(self.body(x))

@pytest.fixture
def clinic(tmp_path, monkeypatch):
    "Sixty patients with three to nineteen rows each."
    monkeypatch.setenv("UPGRADEABILITY_CACHE", str(tmp_path/"cache"))
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(60), rng.integers(3, 20, 60))
    y = rng.permutation(np.arange(60) % 2)[patient]
    x = rng.normal(size=(60, 6))[patient] + rng.normal(scale=.2, size=(len(patient), 6)) + 1.5 * y[:, None]
    return load_task((x.astype(np.float32), y), groups=patient)

def test_evaluate_and_curve(clinic, tmp_path):
    df = evaluate(torch.nn.Identity(), clinic, protocols="majority, knn, linear_probe", n_train=200, out_dir=tmp_path/"run", dtype="float32")
    n_groups = len(set(clinic.group[clinic.splits["test"]]))
    assert (df.error == "").all() and (df.n_test == n_groups).all() and set(df.n_train) == {clinic.sample(200).n_train}
    curve = learning_curve(torch.nn.Identity(), clinic, sizes=[60, 120, 121, 250], seeds=(0, 1, 2), out_dir=tmp_path/"curve", dtype="float32")
    points = curve[curve.origin == "measured"]
    sizes = [[clinic.sample(n, seed).n_train for seed in range(3)] for n in (60, 120, 121, 250)]
    assert {round(np.mean(sizes[0])), round(np.mean(sizes[3]))} < set(points.n_train) and points.n_seeds.max() == 3 and len(points) <= 4

def test_ranking_by_whole_groups(clinic, tmp_path):
    ranking = rank_models([torch.nn.Identity(), Mixed()], clinic, budget=20, out_dir=tmp_path, dtype="float32")
    assert ranking.model.iloc[0] == "object 0" and (ranking.se > .005).all()

def test_features_of_undeclared_groups_are_reused(clinic):
    backbone = load_backbone(torch.nn.Identity())
    plain = load_task((clinic.inputs.items, clinic.y))
    assert cache_key(backbone, clinic) == cache_key(backbone, plain) and clinic.fingerprint != plain.fingerprint
