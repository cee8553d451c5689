"Shifts: figures by a plain loop, relations of the sets, refusals."
import numpy as np, pandas as pd, pytest, torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from upgradeability import Predictions, compare, evaluate, load_backbone, load_task, shift, upgradeability, verify
from upgradeability.corruptions import SHIFTS
from upgradeability.shifts import Shifts, change_between, joined_task, relation_of, shifted_sets

DIGITS = load_digits()
X, Y = (DIGITS.images * 15).astype(np.uint8), DIGITS.target
CORRUPTED = [f"{name}?strength={s}" for name in ("blur", "noise", "jpeg", "brightness", "contrast", "rotation", "resolution") for s in (1, 5)][1::2] + ["noise?strength=2"]

@pytest.fixture(scope="module")
def trained():
    "A small network that learns digits 0 to 4, with its own head."
    keep = Y < 5
    task = (X[keep][:500], Y[keep][:500], X[keep][500:700], Y[keep][500:700])
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 5))
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    x, y = torch.tensor(task[0], dtype=torch.float32), torch.tensor(task[1])
    for _ in range(120):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimiser.step()
    return net.eval(), task

@pytest.fixture(scope="module")
def table(trained, tmp_path_factory):
    net, task = trained
    backbone = load_backbone(net, classes=list("01234"), device="cpu")
    return shift(backbone, task, CORRUPTED, protocol="as_is, linear_probe", dtype="float32", out_dir=tmp_path_factory.mktemp("shift"))

def test_accuracy_of_each_corruption_by_a_plain_loop(trained, table):
    net, task = trained
    data = load_task(task)
    rows = table[table.protocol == "as_is"].set_index("task")
    for spec in CORRUPTED:
        name, strength = spec.split("?strength=")
        right = 0
        for i in data.splits["test"]:
            rng = np.random.default_rng(int(data.inputs.digests[i]))
            damaged = SHIFTS[name]["image"](Image.fromarray(data.inputs.items[i]), int(strength), rng)
            with torch.inference_mode(): answer = net(torch.tensor(np.asarray(damaged, np.float32))[None]).argmax()
            right += int(answer) == data.y[i]
        assert rows.test[f"{data.name} -> {spec}"] == right / len(data.splits["test"]), spec
    assert rows.test.nunique() > 5 and rows.test.iloc[0] > .85

def test_the_task_itself_is_as_evaluate_has_it(trained, table, tmp_path):
    net, task = trained
    backbone = load_backbone(net, classes=list("01234"), device="cpu")
    alone = evaluate(backbone, task, protocols="as_is, linear_probe", dtype="float32", out_dir=tmp_path)
    both = alone.merge(table, on=["task", "protocol", "key"], suffixes=("", "_again"))
    assert len(both) == 3 and (both.test == both.test_again).all() and (both.train == both.train_again).all()

def test_changes_are_paired_and_everything_can_be_recomputed(table):
    changes = table.changes()
    assert len(changes) == 2 * len(CORRUPTED) and (changes.relation == "same").all()
    assert np.allclose(changes.change, changes.shifted - changes.test)
    row = changes[changes.tested_on == "rotation?strength=5"].iloc[0]
    test = table.predictions(row.key)["test"]
    found = compare(table.predictions(relation_of(test)["own"])["test"], test)
    assert (row.change, row.change_low, row.p, row.broken) == (found.difference.value, found.difference.low, found.p_value, found.negative_flips)
    assert verify(table.out_dir).empty and type(table[:3]) is Shifts

def test_the_order_of_shifts_and_other_shifts_change_no_figure(trained, table, tmp_path):
    net, task = trained
    backbone = load_backbone(net, classes=list("01234"), device="cpu")
    other = shift(backbone, task, [CORRUPTED[3], CORRUPTED[0]], protocol="linear_probe", dtype="float32", out_dir=tmp_path)
    known = table.set_index("key").test
    assert (other.set_index("key").test == known.reindex(other.key)).all()

def test_fitted_once(trained, tmp_path, monkeypatch):
    from upgradeability import finetuning
    net, task = trained
    calls = []
    refit = finetuning._refit
    monkeypatch.setattr(finetuning, "_refit", lambda *args: calls.append(1) or refit(*args))
    df = shift(net, task, ["noise?strength=5", (255 - task[2], task[3])], protocol="fine_tune?epochs=1&lrs=1e-3", dtype="float32", out_dir=tmp_path)
    assert calls == [1] and df.test.notna().all() and df.task.nunique() == 3
    changes = df.changes()
    assert list(changes.relation) == ["same", "other"] and changes.change.iloc[1] < -.3
    parts = [df.predictions(key) for key in (df.key.iloc[0], changes.key.iloc[1])]
    found = upgradeability(parts[0]["test"], parts[1]["test"], "accuracy")
    assert (changes.change.iloc[1], changes.change_low.iloc[1]) == (found.value, found.low)

def frame(n=72, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.integers(2, size=n)
    words = np.where(label, "excellent, wonderful and lovely thing", "terrible, awful and nasty thing")
    return pd.DataFrame(dict(
        text=[f"{word} number {i}!" for i, word in enumerate(words)], label=np.where(label, "good", "bad"),
        language=np.where(rng.random(n) < .4, "de", "en"), year=rng.integers(2019, 2022, n), patient=[f"p{i // 3}" for i in range(n)]))

@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    frame().to_csv(folder/"data.csv", index=False)
    frame(24, 1).to_csv(folder/"later.csv", index=False)
    return folder

OPTIONS = "?text=text&label=label&group=patient"

def words_of(task): return np.array([[len(t), t.count("e"), t.count(","), t.count("l"), t.isupper()] for t in task.inputs.items], float)

def test_texts_parts_and_groups(texts, tmp_path):
    pytest.importorskip("transformers")
    df = shift(
        "bundled:minilm", f"csv:{texts/'data.csv'}{OPTIONS}",
        f"?where=language==de, ?where=year==2020, case?strength=5, csv:{texts/'later.csv'}{OPTIONS}", dtype="float32", out_dir=tmp_path)
    changes = df.changes().set_index("tested_on")
    assert list(changes.relation) == ["part", "part", "same", "other"] and (df.error == "").all()
    assert abs(changes.change["case?strength=5"]) < .02 # the tokenizer knows no case
    own = df.predictions(df.key.iloc[0])["test"]
    task = load_task(f"csv:{texts/'data.csv'}{OPTIONS}")
    is_german = (task.columns.language == "de").to_numpy()[own.ids]
    part = df.predictions(changes.key["?where=language==de"])["test"]
    assert (part.ids == own.ids[is_german]).all() and own.n_units < len(own) and part.groups is not None
    assert verify(tmp_path).empty

def test_a_part_is_compared_with_the_rest():
    rng = np.random.default_rng(0)
    for n in (40, 200):
        own = Predictions(np.arange(400), np.ones(400, int), (rng.random(400) < .7).astype(int))
        part = own.take(np.arange(n))
        rest = own.take(np.arange(n, 400))
        found, *_ = change_between(own, part, "part", "accuracy")
        between = upgradeability(rest, part, "accuracy")
        share = 1 - n / 400
        assert np.isclose(found.value, part.pred.mean() - own.pred.mean())
        assert np.allclose([found.low, found.high], [share * between.low, share * between.high])

def test_tagged_sentences(tmp_path):
    pytest.importorskip("transformers")
    lines = [f"{who} lives in {where} .".split() for who in ("Anna", "Peter", "Maria", "Otto") for where in ("Paris", "Rome", "Oslo", "Kiel")] * 2
    tags = ["B-PER", "O", "O", "B-LOC", "O"]
    text = "\n\n".join("\n".join(f"{w}\t{t}" for w, t in zip(line, tags)) for line in lines)
    for name in ("a.conll", "b.conll"): (tmp_path/name).write_text(text + "\n")
    task = load_task(f"conll:{tmp_path/'a.conll'}")
    sets = shifted_sets(task, f"typos?strength=5, conll:{tmp_path/'b.conll'}")
    joined = joined_task(task, sets)
    assert (np.diff(joined.unit) >= 0).all() and len(joined.inputs) == joined.unit.max() + 1
    assert [len(s.y) for s in sets] == [len(task.splits["test"]), 160] and all(len(s) == 5 for s in joined.inputs.items)
    with pytest.raises(ValueError, match="for sentences of words there are typos, case, punctuation"): shifted_sets(task, "cut")
    df = shift("bundled:minilm", task, f"typos?strength=5, conll:{tmp_path/'b.conll'}", dtype="float32", out_dir=tmp_path/"run")
    assert (df.error == "").all() and list(df.changes().relation) == ["same", "other"] and verify(tmp_path/"run").empty

def test_own_corruption_and_numbers_of_float_pictures(trained, tmp_path):
    net, task = trained
    x = X[Y < 5].astype(np.float32) / 255
    floats = (x[:500], task[1], x[500:700], task[3])
    SHIFTS["mirror"] = {"image": lambda picture, strength, rng: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)}
    try: df = shift(net, floats, "mirror?strength=1", dtype="float32", out_dir=tmp_path)
    finally: del SHIFTS["mirror"]
    mirrored = evaluate(net, (floats[0], floats[1], (x[500:700, :, ::-1] * 255).round().astype(np.float32) / 255, floats[3]), protocols="linear_probe", dtype="float32", out_dir=tmp_path/"b")
    own = lambda df, name: df[(df.protocol == "linear_probe") & df.task.str.contains(name)].test.iloc[0]
    assert own(df, "mirror") == own(mirrored, "arrays")

@pytest.mark.parametrize("shifts, says", [
    ("blurr", "Unknown shift 'blurr'. Did you mean 'blur'"), ("blur?strength=6", "from 1 to 5"), ("blur?strenght=2", "Did you mean 'strength'"),
    ("typos", "for pictures there are blur"), ("?where=a==b", "read from no table"), ("folder:nowhere", "nowhere"), ("", "No shift given"),
    (lambda: (X[:4], np.array(["zero", "one", "zero", "one"])), "other classes than 'arrays:.*Unknown class 'one'"),
    (lambda: (["a text", "two texts"] * 3, [0, 1] * 3), "has texts, and .* has pictures"),
    (lambda: (X[:40], np.arange(40) / 7), "is read as regression")])
def test_refusals(trained, shifts, says):
    _, task = trained
    with pytest.raises((ValueError, OSError), match=says): shift(nn.Linear(64, 2), task, shifts() if callable(shifts) else shifts)

@pytest.mark.parametrize("shifts, says", [
    ("?where=language==fr", "selects none of the .* test rows .*: language is de \\("), ("?where=langage==de", "Did you mean 'language'"),
    ("?where=language", "should read .where=column==value"), ("blur", "for texts there are typos")])
def test_refused_parts(texts, shifts, says):
    with pytest.raises(ValueError, match=says): shift("bundled:minilm", f"csv:{texts/'data.csv'}{OPTIONS}", shifts)

def test_recommendation_has_no_shifts(tmp_path):
    rng = np.random.default_rng(0)
    lines = [(u, i, t) for u in range(40) for t, i in enumerate(rng.permutation(30)[:12])]
    pd.DataFrame(lines, columns=["user_id", "item_id", "timestamp"]).to_csv(tmp_path/"i.csv", index=False)
    pd.DataFrame(dict(item_id=range(30), title=[f"a film about the number {i}" for i in range(30)])).to_csv(tmp_path/"items.csv", index=False)
    with pytest.raises(ValueError, match="each example has a label"): shifted_sets(load_task(f"interactions:{tmp_path/'i.csv'}"), "typos")

def test_copies_of_train_and_absent_classes_are_findings(trained):
    _, task = trained
    few = task[1][:60] < 3
    [other] = shifted_sets(load_task(task), [(task[0][:60][few], task[1][:60][few])])
    assert [e.about for e in other.reading if e.status == "finding"] == ["also in train", "absent classes"]
