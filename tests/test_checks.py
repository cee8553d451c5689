"Checks of the data, leaks left out, costs: what the notebooks 18c_pricing and 19_checks do not show."
import io, os
from functools import lru_cache

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np, pandas as pd, pytest, torch
from PIL import Image, ImageEnhance
from torch import nn
from torchvision import transforms as T

from upgradeability import checks
from upgradeability.checks import ALIKE, CHECKS, Finding, candidates, check_task, differing, directions, drop_rows, exact_copies, hashes, leaked_rows, looks, measure_view, near_copies, near_pairs, normalised, scores_without_leaks, similar_texts, waves
from upgradeability.intervals import score
from upgradeability.metrics import Predictions
from upgradeability.models import load_backbone
from upgradeability.datasets import load_task
from upgradeability.media import MEDIA, Inputs, array_pictures, digest
from upgradeability.pricing import cost, costs, count_flops
from upgradeability.tasks import make_task

@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch): monkeypatch.setenv("UPGRADEABILITY_CACHE", str(tmp_path/"cache"))

SIZE = 96

@lru_cache
def scenes(n, seed=0, size=SIZE):
    "Coloured pictures with structure at all scales, as photographs have: noise whose strength falls with its frequency."
    rng = np.random.default_rng(seed)
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)) * size
    x = np.fft.ifft2(np.fft.fft2(rng.normal(size=(n, 3, size, size))) / np.maximum(f, 1)**1.2).real
    x += 2 * x[:, :1] # the channels mostly agree
    x = (x - x.mean((1, 2, 3), keepdims=True)) / x.std((1, 2, 3), keepdims=True)
    return (128 + 45 * x).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)

def as_pictures(x): return [Image.fromarray(o) for o in x]
def pixels(p): return np.asarray(p.convert("RGB"))
def small(pictures): return np.stack([np.asarray(p.resize((32, 32), Image.BILINEAR)) for p in pictures])
def saved(p, quality): p.save(f := io.BytesIO(), "JPEG", quality=quality); return Image.open(f).convert("RGB")

TREATMENTS = {
    "JPEG, quality 60": lambda p: saved(p, 60),
    "half the size": lambda p: p.resize((SIZE // 2, SIZE // 2), Image.BICUBIC),
    "another shape": lambda p: p.resize((130, 110), Image.BICUBIC),
    "slightly brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.15),
    "less contrast": lambda p: ImageEnhance.Contrast(p).enhance(.7),
    "shifted by one pixel": lambda p: Image.fromarray(np.concatenate([pixels(p)[:, :1], pixels(p)[:, :-1]], 1)),
    "grey": lambda p: p.convert("L").convert("RGB"),
}

# ---- near duplicates

@pytest.mark.parametrize("treatment", TREATMENTS)
def test_planted_copies_are_found_and_nothing_else(treatment):
    pictures = as_pictures(scenes(400))
    copies = [TREATMENTS[treatment](p) for p in pictures[:40]]
    pairs = near_pairs(directions(waves(small(pictures + copies))))
    assert {tuple(p) for p in pairs} == {(i, 400 + i) for i in range(40)}

def test_unrelated_pictures_are_not_alike():
    assert len(near_pairs(directions(waves(small(as_pictures(scenes(1500, seed=1, size=32))))))) == 0

def test_natural_pictures(shared_data):
    "On a tenth of CIFAR-10: known twins, no false alarm among mirrored pictures, and treated test pictures find their origin."
    task = load_task(f"folder:{shared_data/'cifar10-jpeg'}")
    pairs, chance = near_copies(task)
    assert 8 <= len(pairs) <= 20 and chance <= 1 # 13, all of them the same photograph when looked at
    assert (task.y[pairs[:, 0]] == task.y[pairs[:, 1]]).all() # unrelated pictures would agree one time of ten
    rows = np.r_[task.splits["train"], task.splits["valid"], task.splits["test"]]
    copies = [saved(task.inputs[int(i)], 60) for i in rows[:3000:10]]
    strength = looks(task).waves[rows]
    found = near_pairs(directions(np.r_[strength, waves(small(copies))], strength))
    assert len({(i, j) for i, j in found} & {(10 * k, len(rows) + k) for k in range(300)}) >= 297

def test_pictures_of_one_scheme_do_not_drown_in_false_alarms():
    "All on black and variations of one picture: strangers are like each other, copies must still be told from them."
    base = scenes(1, 5, 48)[0] * 1.
    x = np.clip(base + 25 * (scenes(600, 6, 48) / 128. - 1), 0, 255).astype(np.uint8)
    x[:, :10], x[:, -10:] = 0, 0
    pictures = as_pictures(x)
    pairs = near_pairs(directions(waves(small(pictures + [saved(p, 60) for p in pictures[:30]]))))
    assert {tuple(p) for p in pairs} == {(i, 600 + i) for i in range(30)}

def test_blank_pictures_match_nothing():
    rng = np.random.default_rng(0)
    blank = np.clip(200 + rng.normal(0, .8, (60, 32, 32, 3)), 0, 255).astype(np.uint8) # noise of less than a level
    flat = np.stack([np.full((32, 32, 3), c, np.uint8) for c in range(40)])
    x = np.r_[scenes(60, 2, 32), blank, flat]
    task = load_task((x, np.arange(160) % 2))
    pairs, chance = near_copies(task)
    assert len(pairs) == 0 and chance == 0
    found = check_task(task).set_index("check")
    assert found.n["blank"] == 100 and set(found["rows"]["blank"]) == set(range(60, 160))

def test_mirrored_pictures_are_no_copies_but_counted_as_chance():
    x = scenes(100, 3, 32)
    task = load_task((x[:80], np.arange(80) % 2, np.r_[x[:10, :, ::-1], x[80:]], np.arange(30) % 2))
    pairs, chance = near_copies(task)
    assert len(pairs) == 0 and chance == 10

def test_a_handful_of_pictures():
    for n in (4, 6):
        x = scenes(n, 4)
        task = load_task((x, np.arange(n) % 2, np.stack([pixels(saved(Image.fromarray(o), 60)) for o in x[:2]]), [0, 1]))
        assert {(n, 0), (n + 1, 1)} <= {tuple(p) for p in near_copies(task)[0]}

def test_directions_ignore_brightness_and_contrast():
    w = waves(small(as_pictures(scenes(50))))
    x = small(as_pictures(scenes(50))).astype(np.float32)
    assert np.allclose(directions(waves(.5 * x + 30), w), directions(w), atol=1e-3)

def test_waves_by_hand():
    "A cosine of one period per picture is one wave."
    columns = np.cos(np.pi * 3 * (np.arange(32) + .5) / 32)
    w = waves(np.broadcast_to((128 + 100 * columns)[None, None, :, None], (1, 32, 32, 3)))[0]
    assert abs(w).argmax() == 2 and np.sort(abs(w))[-2] < 1e-3 * abs(w).max() # index 3 without the mean

# ---- hashes and buckets

def test_differing_counts_signs():
    a, b = np.random.default_rng(0).normal(size=(2, 500, 63))
    assert (differing(hashes(a), hashes(b)) == ((a > 0) != (b > 0)).sum(1)).all()
    assert (differing(hashes(a), hashes(-a)) == 63).all()

def test_candidates_spare_most_pairs_and_keep_the_near_ones():
    "Four million pairs: few are compared, and those at the edge of the rule are among them."
    rng, n = np.random.default_rng(0), 2800
    z = rng.normal(size=(n, 63))
    near = z[:200] + np.tan(np.arccos(.89)) * rng.normal(size=(200, 63)) # at the angle that the rule allows
    codes, compared, found = hashes(np.r_[z, near]), 0, set()
    for pairs in candidates(codes):
        compared += pairs.shape[1]
        found |= {(i, j) for i, j in pairs.T if j - i == n}
        assert (pairs[0] < pairs[1]).all()
    assert compared < .1 * 3000 * 2999 / 2 and len(found) > .9 * 200

def test_comparisons_grow_little_faster_than_the_data():
    rng = np.random.default_rng(0)
    share = [sum(c.shape[1] for c in candidates(hashes(rng.normal(size=(n, 63))))) / n for n in (2000, 32000)]
    assert share[1] < 2.5 * share[0] # all pairs: sixteen times

def test_equal_codes_all_meet():
    meet = {tuple(p) for c in candidates(np.zeros(7, np.uint64), n_tables=1) for p in c.T}
    assert meet == {(i, j) for i in range(7) for j in range(i + 1, 7)}

def test_near_pairs_equal_the_search_through_all_pairs():
    z = directions(waves(small(as_pictures(scenes(150)) + [saved(p, 30) for p in as_pictures(scenes(150))])))
    limit = checks.ordinary_angle(z, z) / ALIKE
    angle = np.arccos(np.clip(z @ z.T, -1, 1))
    i, j = np.nonzero(np.triu(angle <= np.minimum.outer(limit, limit), 1))
    assert {tuple(p) for p in near_pairs(z)} == set(zip(i.tolist(), j.tolist()))

# ---- exact copies, labels

def unordered(pairs): return {frozenset(p) for p in pairs.tolist()} # train and valid are drawn, so which of two comes first is too

def test_exact_copies_and_conflicts():
    x = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    y = np.arange(40) % 2
    x[5], x[9] = x[3], x[2] # within train: 5 copies 3 (same class), 9 copies 2 (other class)
    task = load_task((x[:30], y[:30], np.r_[x[30:], x[4:5], x[4:5]], np.r_[y[30:], 0, 1]))
    found = {f.check: f.rows for f in CHECKS["repeated"](task, None, None)}
    assert set(found) == {"exact_duplicates", "conflicting_labels"} and sorted(found["exact_duplicates"].tolist()) == [[40, 4], [41, 4]]
    assert unordered(found["conflicting_labels"]) == {frozenset((9, 2)), frozenset((41, 4))}
    assert unordered(exact_copies(task)) == {frozenset(p) for p in [(5, 3), (9, 2), (40, 4), (41, 4)]}

def test_copies_within_test_are_no_leak():
    x = np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8)
    x[25] = x[24]
    assert "exact_duplicates" not in set(check_task(load_task((x[:20], np.arange(20) % 2, x[20:], np.arange(10) % 2))).check)

def test_near_copies_with_other_labels():
    x = scenes(60, 7, 48)
    copies = np.stack([pixels(saved(Image.fromarray(o), 60)) for o in x[:6]])
    task = load_task((np.r_[x, copies], np.r_[np.arange(60) % 2, [0, 1, 0, 0, 0, 0]], scenes(20, 8, 48), np.arange(20) % 2))
    found = check_task(task).set_index("check")
    assert unordered(found["rows"]["conflicting_labels"]) == {frozenset((63, 3)), frozenset((65, 5))} and "near_duplicates" not in found.index

def test_severity_follows_what_a_leak_can_move():
    x = np.random.default_rng(0).integers(0, 256, (500, 6, 6), dtype=np.uint8)
    y = np.arange(500) % 2
    def severity(k): return check_task(load_task((x[:200], y[:200], np.r_[x[:k], x[200:]], np.r_[y[:k], y[200:]]))).set_index("check").severity["exact_duplicates"]
    assert severity(1) == "info" and severity(10) == "warning"

# ---- classes

def of_classes(train, valid, test, classes="abc"):
    y = [classes[int(c)] for c in train + valid + test]
    n = np.cumsum([len(train), len(valid), len(test)])
    x = np.random.default_rng(0).integers(0, 256, (len(y), 8, 8), dtype=np.uint8)
    return make_task("made", array_pictures(x), y, {"train": range(n[0]), "valid": range(n[0], n[1]), "test": range(n[1], n[2])}, classes=list(classes))

def test_a_missing_class_is_named_with_its_split():
    with pytest.warns(UserWarning, match="not in test"): task = of_classes("0"*9 + "1"*9 + "2"*9, "000111", "0"*9 + "1"*9)
    found = [f for f in CHECKS["classes"](task, None, None) if f.check == "missing_class"]
    assert sorted(f.message.split(":")[0] for f in found) == ["Not in test", "Not in valid"] and all("'c'" in f.message for f in found)

def test_an_empty_valid_misses_no_class():
    assert CHECKS["classes"](of_classes("012" * 9, "", "012" * 9), None, None) == []

@pytest.mark.parametrize("counts, severity", [((10, 10), None), ((29, 10), None), ((30, 10), "info"), ((100, 10), "warning")])
def test_imbalance(counts, severity):
    task = of_classes("0" * counts[0] + "1" * counts[1], "", "01" * 9, "ab")
    found = {f.check: f.severity for f in CHECKS["classes"](task, None, None)}
    assert found.get("imbalance") == severity

def test_few_test_examples_are_counted_by_class():
    [found] = CHECKS["classes"](of_classes("012" * 9, "", "0" * 5 + "1" * 4 + "2"), None, None)
    assert found.n == 2 and len(found.rows) == 5 and "'b', 'c'" in found.message

# ---- features

def test_features_are_looked_at():
    task = of_classes("012" * 9, "", "012" * 9)
    x = np.random.default_rng(0).normal(size=(54, 10))
    assert CHECKS["features"](task, None, x) == [] and CHECKS["features"](task, None, None) is None
    x[[3, 8]], x[:, 2] = np.inf, 0
    broken, constant = CHECKS["features"](task, None, x)
    assert broken.rows.tolist() == [3, 8] and (constant.n, constant.severity) == (1, "info")
    x[:] = np.nan
    assert [f.check for f in CHECKS["features"](task, None, x)] == ["broken_features"]

# ---- what the network sees

VIEWS = [
    (T.Compose([T.Resize(256), T.CenterCrop(224), T.ToTensor()]), (400, 300), (.656, .875, .853, .853)),
    (T.Compose([T.Resize((224, 224)), T.ToTensor()]), (448, 112), (1, 1, .5, 2)),
    (T.Compose([T.CenterCrop(64), T.ToTensor()]), (128, 256), (.5, .25, 1, 1)),
    (T.Compose([T.Resize(256), T.CenterCrop(224), T.ToTensor(), T.Normalize([.485, .456, .406], [.229, .224, .225])]), (32, 32), (.875, .875, 8, 8)),
    (T.Compose([T.Pad((0, 64)), T.Resize((224, 224)), T.ToTensor()]), (256, 128), (1, 2, .875, .875)),
]

@pytest.mark.parametrize("preprocess, size, expected", VIEWS)
def test_view_is_measured(preprocess, size, expected):
    v = measure_view(preprocess, size)
    assert np.allclose([v.width, v.height, v.zoom_x, v.zoom_y], expected, rtol=.03)

class Net(nn.Module):
    def __init__(self): super().__init__(); self.head = nn.Linear(3, 2)
    def forward(self, x): return self.head(x.mean((2, 3)))

def seen(preprocess, sizes):
    pictures = [Image.fromarray(scenes(1, i, max(s))[0][:s[1], :s[0]]) for i, s in enumerate(sizes)]
    inputs = Inputs(pictures, lambda p: p, np.array([digest(p.tobytes()) for p in pictures], np.uint64))
    task = make_task("made", inputs, ["a", "b"] * (len(sizes) // 2), {})
    return {f.check: f for f in MEDIA["image"].checks["view"](task, load_backbone(Net(), preprocess=preprocess, device="cpu"), None)}

def test_far_from_what_the_network_expects():
    usual = VIEWS[0][0]
    assert seen(usual, [(260, 250)] * 16) == {}
    assert set(seen(usual, [(32, 32)] * 16)) == {"small"}
    wide = seen(usual, [(260, 250)] * 14 + [(800, 260)] * 2)
    assert set(wide) == {"cut"} and wide["cut"].n == 2
    assert set(seen(T.Compose([T.Resize((128, 128)), T.ToTensor()]), [(200, 130)] * 16)) == {"squeezed"}
    assert seen(T.Compose([usual, T.Lambda(lambda x: 255 * x)]), [(260, 250)] * 16)["range"].severity == "warning"

# ---- the table

def test_an_own_check_is_run_and_one_that_does_not_apply_is_not_counted(monkeypatch):
    task = of_classes("012" * 9, "", "012" * 9)
    monkeypatch.setitem(CHECKS, "mine", lambda task, backbone, features: [Finding("mine", "warning", 1, "Something.", np.array([3]))])
    monkeypatch.setitem(CHECKS, "texts", lambda task, backbone, features: None if task.medium.name != "text" else [])
    df = check_task(task)
    assert df.check[0] == "mine" and {"mine", "classes"} <= set(df.attrs["checked"]) and not {"texts", "features", "view"} & set(df.attrs["checked"])

def test_nothing_found_is_an_empty_table():
    df = check_task(make_task("made", array_pictures(scenes(60, 9, 40)), np.arange(60) % 2, {}))
    assert len(df) == 0 and list(df.columns) == ["check", "severity", "n", "message", "rows"]

def test_rows_of_numbers_are_no_pictures():
    task = load_task((np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32), np.arange(40) % 2))
    assert set(check_task(task).attrs["checked"]) == {"classes", "repeated", "repeats", "sequences"}

def test_a_picture_is_looked_at_once(monkeypatch):
    task = make_task("made", array_pictures(scenes(60, 9, 40)), np.arange(60) % 2, {})
    part = task.sample(20)
    first = looks(part)
    missing = np.isnan(first.light).sum()
    assert missing == task.n_train - 20
    looked, facts = [], checks._facts
    monkeypatch.setattr(checks, "_facts", lambda pictures, rows: (looked.extend(rows), facts(pictures, rows))[1])
    whole = looks(task)
    assert len(looked) == missing and np.isfinite(whole.light).all()
    assert np.array_equal(whole.waves[part.splits["test"]], first.waves[part.splits["test"]])
    looks(task)
    assert len(looked) == missing

def test_a_damaged_cache_is_looked_at_anew(tmp_path):
    task = make_task("made", array_pictures(scenes(60, 9, 40)), np.arange(60) % 2, {})
    good = looks(task)
    [file] = (tmp_path/"cache"/"hashes").iterdir()
    file.write_bytes(file.read_bytes()[:500])
    assert np.array_equal(looks(task).waves, good.waves)

# ---- without the leaks

def findings_of(*pairs): return pd.DataFrame([dict(check=c, severity="info", n=1, message="", rows=np.array(r)) for c, r in pairs])

def test_scores_without_leaks_are_those_of_the_rest():
    rng = np.random.default_rng(0)
    y, pred = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    pred[:50] = y[:50]
    test = Predictions(np.arange(1000, 1200), y, pred)
    found = findings_of(("exact_duplicates", [[1000 + i, i] for i in range(40)]), ("near_duplicates", [[1000 + i, 7] for i in range(30, 50)]), ("conflicting_labels", [[1100, 3]]), ("blank", [1150]))
    assert leaked_rows(found).tolist() == list(range(1000, 1050))
    row = scores_without_leaks({"train": test, "test": test}, found).iloc[0]
    rest = score(test.take(slice(50, None)), "accuracy")
    assert row.left_out == 50 and (row.without, row.without_low, row.without_high) == (rest.value, rest.low, rest.high)
    assert (row.test, row.test_low) == (score(test, "accuracy").value, score(test, "accuracy").low)
    assert len(drop_rows(test, [1000, 5])) == 199

def test_without_leaks_nothing_changes_and_without_anything_there_is_no_figure():
    test = Predictions([7, 8], [0, 1], [0, 1])
    none, every = (scores_without_leaks({"test": test}, findings_of(f)).iloc[0] for f in [("blank", [7]), ("exact_duplicates", [[7, 0], [8, 1]])])
    assert none.left_out == 0 and none.test == none.without == 1
    assert every.left_out == 2 and np.isnan(every.without) and np.isnan(every.without_low)

# ---- cost

def test_flops_of_known_layers():
    assert count_flops(nn.Linear(30, 7, bias=False), torch.zeros(4, 30)) == 2 * 4 * 30 * 7
    assert count_flops(nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2), torch.zeros(1, 4, 10, 10)) == 2 * 8 * 2 * 9 * 25
    net = nn.MultiheadAttention(16, 2, batch_first=True).eval()
    class Attend(nn.Module):
        def __init__(self): super().__init__(); self.net = net
        def forward(self, x): return self.net(x, x, x, need_weights=False)[0]
    assert count_flops(Attend().eval(), torch.zeros(1, 9, 16)) == 2 * 9 * 16 * 64 + 4 * 9 * 9 * 16
    assert torch.backends.mha.get_fastpath_enabled()

def test_cost_of_a_network_of_ones_own():
    net = nn.Sequential(nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2))
    c = cost(net, example=np.zeros(12, np.float32), batch_size=3, n_batches=1)
    assert (c["parameters"], c["flops"], c["input"], c["batch_size"], c["dtype"]) == (77, 2 * (60 + 10), "12", 3, "float32") and c["examples_per_second"] > 0
    assert c["model"].startswith("object:Sequential:") and c["device"].split(",")[0] in ("cpu", *(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())))
    with pytest.raises(ValueError, match="give example="): cost(net)

def test_flops_are_per_example_and_costs_are_a_table():
    nets = [nn.Sequential(nn.Linear(12, k), nn.Linear(k, 2)) for k in (5, 50)]
    df = costs(nets, example=np.zeros(12, np.float32), batch_size=7, n_batches=1)
    assert df.flops.tolist() == [2 * (60 + 10), 2 * (600 + 100)] and df.model.nunique() == 2

# ---- texts and words

def of_texts(train, test, y_train, y_test):
    texts = [*train, *test]
    splits = {"train": range(len(train)), "test": range(len(train), len(texts))}
    return make_task("made", Inputs(texts, str, np.array([digest(t.encode("utf-8", "surrogatepass")) for t in texts], np.uint64)), [*y_train, *y_test], splits, medium="text", classes=["a", "b"])

def found_in(task): return {c: (n, r.tolist()) for c, n, r in zip(*(check_task(task)[k] for k in ("check", "n", "rows"))) if c not in ("few_test_examples", "imbalance", "missing_class")}

FOLDED = [("Where is it?", "where is it"), ("a  b\tc", "a b c"), ("don't", "don’t"), ("Straße", "STRASSE"), ("ﬁne", "fine"), ("soft\u00adly", "softly"), ("x-ray", "X ray"), ("１２", "12"), ("\u201cquoted\u201d", '"quoted"')]
KEPT = [("good 🙂", "good 🙁"), ("a+b", "a b"), ("cost $5", "cost 5"), ("ab", "a b"), ("é", "e"), ("!!!", "?")]

@pytest.mark.parametrize("a, b", FOLDED)
def test_what_copying_changes_is_folded(a, b): assert len(set(normalised([a, b]))) == 1

@pytest.mark.parametrize("a, b", KEPT)
def test_what_may_matter_is_kept(a, b):
    task = of_texts([a, "something else"], [b, "other"], "ab", "ab")
    assert "near_duplicates" not in found_in(task)

def test_similar_texts_leak_and_conflict():
    task = of_texts(["Top up failed", "Lost card", "why me?", "Why?"], ["top-up failed!", "Lost card", "new", "!?"], "abbb", "aaba")
    found = found_in(task)
    assert found["near_duplicates"] == (1, [[4, 0]]) and found["exact_duplicates"] == (1, [[5, 1]])
    conflicts = [f for f in [*CHECKS["repeated"](task), *MEDIA["text"].checks["similar_texts"](task)] if f.check == "conflicting_labels"]
    assert [f.rows.tolist() for f in conflicts] == [[[5, 1]]] # equal bytes, other label
    assert [f.check for f in MEDIA["text"].checks["similar_texts"](of_texts(["Why?", "x y"], ["WHY", "z z"], "ab", "bb"))] == ["near_duplicates", "conflicting_labels"]
    assert leaked_rows(check_task(task)).tolist() == [4, 5]
    both = of_texts(["Lost card", "lost CARD!", "x y"], ["Lost card", "z z"], "aab", "ab") # a copy byte by byte is not counted once more
    assert found_in(both)["exact_duplicates"][0] == 1 and "near_duplicates" not in found_in(both)

def test_odd_texts_are_counted():
    task = of_texts(["fine", "also fine", "", " \n"], ["x", "word " * 25_000, "é", "ok then"], "abab", "abab")
    assert found_in(task) == {"blank": (2, [2, 3]), "one_character": (2, [4, 6]), "long": (1, [5])}

def test_lone_surrogates_and_nothing_but_blanks():
    assert similar_texts(of_texts(["\ud800 a", "b"], ["\ud800  A", "c"], "ab", "ab")).tolist() == [[2, 0]]
    assert len(similar_texts(of_texts(["...", " "], ["!", "\t"], "ab", "ab"))) == 0

def of_sentences(sentences, tags, train):
    "A row for each word; the first `train` sentences are train."
    groups = np.repeat(np.arange(len(sentences)), [len(s) for s in sentences])
    split = {"train": np.flatnonzero(groups < train), "test": np.flatnonzero(groups >= train)}
    inputs = Inputs([tuple(s) for s in sentences], lambda words: words, np.array([digest("\n".join(s).encode()) for s in sentences], np.uint64))
    return make_task("made", inputs, [t for s in tags for t in s], split, medium="words", kind="tagging", unit=groups, metric="accuracy", classes=["O", "B-x"])

def test_findings_about_words_count_sentences():
    rows = [("in", "Rome", "today"), ("no", "name"), ("of", "Bern", "too"), ("to", "Oslo"), ("in", "Rome", "today"), ("NO", "name"), ("of", "Bern", "too"), ("new", "ones")]
    tags = [("O", "B-x", "O"), ("O", "O"), ("O", "B-x", "O"), ("O", "B-x"), ("O", "B-x", "O"), ("O", "O"), ("O", "O", "O"), ("O", "B-x")]
    task = of_sentences(rows, tags, 4)
    found = check_task(task).set_index("check")
    assert found.n["exact_duplicates"] == 2 and "2 of 4 (50.0%) test sentences" in found.message["exact_duplicates"]
    assert found.n["near_duplicates"] == 1 and "imbalance" not in found.index
    assert found.n["conflicting_labels"] == 2 and found["rows"]["conflicting_labels"].shape == (1, 2) # Bern, with and without its tag
    gone = leaked_rows(check_task(task))
    test = task.splits["test"]
    p = Predictions(test, task.y[test], task.y[test], groups=task.groups[test])
    assert sorted(set(drop_rows(p, gone).groups.tolist())) == [7] # all words of a leaked sentence go, not its first only

def test_where_items_are_recommended_copies_and_classes_mean_nothing():
    inputs = Inputs(["one", "one", "two"], str, np.array([1, 1, 2], np.uint64))
    task = make_task("made", inputs, [0, 1, 2, 0, 1, 2], {"train": [0, 1, 2, 3], "test": [4, 5]}, medium="text", kind="recommendation", unit=np.array([0, 0, 1, 1, 0, 1]), metric="accuracy")
    assert len(check_task(task)) == 0 and check_task(task).attrs["checked"] == []

def test_comparing_texts_is_quick():
    rng = np.random.default_rng(0)
    texts = [" ".join(map(str, rng.integers(0, 1000, 12))) for _ in range(20_000)]
    assert len(similar_texts(of_texts(texts[:15_000], texts[15_000:], "ab" * 7500, "ab" * 2500))) == 0
