"Regression: figures and probes against scikit-learn, targets from every source, and a whole report."

import numpy as np, pandas as pd, pytest, torch
from PIL import Image
from sklearn import metrics as sk
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from upgradeability import Predictions, compare, evaluate, gain, learning_curve, load_task, make_task, rank_models, read_predictions, score, upgradeability
from upgradeability.kinds.regression import N_STRATA, errors_by_target, target_strata, worst_cases
from upgradeability.media import array_inputs
from upgradeability.protocols import fit_rows

def answers(n=300, noise=.5, seed=0, offset=0., split="test"):
    rng = np.random.default_rng(seed)
    y = offset + rng.normal(size=n)
    return Predictions(np.arange(n), y, y + rng.normal(scale=noise, size=n), split=split, meta=dict(kind="regression", metric="r2", classes=()))

def rows_of_numbers(n=200, d=6, seed=0, noise=.3):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)).astype(np.float32)
    return x, 100 + 10 * x[:, 0] - 5 * x[:, 1] + rng.normal(scale=noise, size=n)

@pytest.fixture
def cache(tmp_path, monkeypatch):
    "An empty cache."
    monkeypatch.setenv("UPGRADEABILITY_CACHE", str(tmp_path/"cache"))

@pytest.fixture
def numbers(cache): return load_task(rows_of_numbers())

# ---- figures

@pytest.mark.parametrize("offset", [0., 1e6])
def test_figures_are_those_of_scikit_learn(offset):
    p = answers(offset=offset)
    assert score(p, "r2").value == pytest.approx(sk.r2_score(p.y, p.pred), rel=1e-9)
    assert score(p, "mae").value == pytest.approx(sk.mean_absolute_error(p.y, p.pred), rel=1e-12)
    assert score(p, "rmse").value == pytest.approx(sk.root_mean_squared_error(p.y, p.pred), rel=1e-12)

def test_figures_do_not_depend_on_order_or_unit():
    p = answers()
    turned = p.take(np.random.default_rng(1).permutation(len(p)))
    scaled = Predictions(p.ids, 1000 * p.y + 7, 1000 * p.pred + 7)
    for q in (turned, scaled): assert score(q, "r2").value == pytest.approx(score(p, "r2").value, rel=1e-9)
    assert score(scaled, "mae").value == pytest.approx(1000 * score(p, "mae").value, rel=1e-9)

def test_intervals_cover():
    "Of 200 samples the interval of R² covers the true value in about 95 of 100."
    true = 1 - .25 / 1
    covered = []
    for seed in range(200):
        found = score(answers(n=200, seed=seed), "r2", n_boot=400)
        covered.append(found.low <= true <= found.high)
    assert .90 <= np.mean(covered) <= .99

def test_smaller_errors_are_better():
    good, bad = answers(noise=.2), answers(noise=.8)
    bad = Predictions(good.ids, good.y, good.y + (bad.pred - bad.y), meta=good.meta)
    for metric in ("r2", "mae", "rmse"):
        assert gain(good, bad, metric).value > 0 and compare(bad, good, metric).difference.value > 0
    worse_on_new = upgradeability(answers(noise=.2, split="train"), answers(noise=.8, seed=1), "mae")
    assert worse_on_new.value < 0

def test_equal_targets_have_no_r2():
    assert np.isnan(score(Predictions([0, 1, 2], [4., 4., 4.], [4., 5., 3.]), "r2").value)

def test_errors_by_group_add_up():
    p = answers()
    table = errors_by_target(p.take(p.ids < 100), p.take(p.ids >= 100))
    assert table.n.sum() == 200 and len(table) == 5
    whole = np.average(table.test, weights=table.n)
    assert whole == pytest.approx(score(p.take(p.ids >= 100), "mae").value)

# ---- targets

@pytest.mark.parametrize("labels, words", [([1., np.nan, 2.], "1 of 3 targets are missing.*row 1"), (["1", "cheap", "3"], "'cheap' in row 1"),
    ([1., np.inf, 2.], "row 1"), ([5., 5., 5.], "All 3 targets are 5")])
def test_bad_targets(labels, words):
    with pytest.raises(ValueError, match=words): make_task("t", array_inputs(np.arange(3.)[:, None]), labels, {}, medium="array", kind="regression")

def test_floats_with_fractions_are_targets(cache):
    x, y = rows_of_numbers()
    task = load_task((x, y))
    assert task.kind.name == "regression" and task.metric == "r2" and np.array_equal(task.y, y)
    assert "regression, as labels are numbers with fractions" in str(task.reading)
    with pytest.raises(ValueError, match="floats"): load_task((x, y.round()))
    assert make_task("t", array_inputs(x), y.round(), {}, medium="array", kind="regression").kind.name == "regression"

@pytest.mark.parametrize("form", [list, torch.tensor, pd.Series, lambda y: y.astype(object), lambda y: y[:, None]], ids=["list", "tensor", "series", "objects", "column"])
def test_targets_of_any_form(cache, form):
    x, y = rows_of_numbers()
    assert load_task((x, form(y))).fingerprint == load_task((x, y)).fingerprint

def test_numbers_written_as_texts_are_classes(cache):
    x, _ = rows_of_numbers()
    assert load_task((x, [f"{i % 3}.5" for i in range(len(x))])).kind.name == "classification"

@pytest.mark.parametrize("n, words", [(1, "nothing to predict"), (2, "nothing to learn")])
def test_too_few_rows(cache, n, words):
    x, y = rows_of_numbers(n)
    with pytest.raises(ValueError, match=words): load_task((x, y))

def test_few_rows_have_a_test_set(cache):
    for n in (5, 20, 40):
        task = load_task(rows_of_numbers(n))
        assert len(task.splits["test"]) == pytest.approx(n / 4, abs=1.5)
    with pytest.raises(ValueError, match="at least 2 labels are needed\\.$"): task.sample(1)

def test_classes_are_no_targets(cache):
    x, y = rows_of_numbers()
    with pytest.raises(ValueError, match="leave classes= out"): make_task("t", array_inputs(x), y, {}, medium="array", kind="regression", classes=["a", "b"])

def test_splits_are_in_proportion(numbers):
    _, stratum = target_strata(numbers.y)
    share = np.bincount(stratum[numbers.splits["test"]]) / np.bincount(stratum)
    assert len(share) == N_STRATA and (abs(share - .25) <= .05).all()

def test_smaller_sets_are_within_larger_ones(numbers):
    small, large = (fit_rows(numbers.sample(n, seed=3)) for n in (30, 90))
    assert len(small) == 30 and len(large) == 90 and set(small) < set(large)
    assert numbers.sample(30, 3).splits["test"] is numbers.splits["test"]

@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "jsonl"])
def test_tables_of_numbers(cache, tmp_path, ending):
    x, y = rows_of_numbers()
    frame = pd.DataFrame(x.round(3), columns=list("abcdef")).assign(price=y.round(3))
    path = tmp_path/f"homes.{ending}"
    if ending == "parquet": frame.to_parquet(path)
    elif ending == "jsonl": frame.to_json(path, orient="records", lines=True)
    else: frame.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    task = load_task(f"csv:{path}?target=price")
    assert task.kind.name == "regression" and task.inputs[0].shape == (6,) and np.allclose(task.y, y.round(3))
    assert "price" in str(task.reading)

def test_tables_of_texts(cache, tmp_path):
    texts = [f"a flat with {n} rooms and a garden" for n in range(40)]
    pd.DataFrame(dict(review=texts, stars=np.arange(40) / 8)).to_csv(tmp_path/"flats.csv", index=False)
    task = load_task(f"csv:{tmp_path/'flats.csv'}?target=stars")
    assert task.medium.name == "text" and task.inputs[3] == texts[3] and task.y[3] == 3 / 8
    with pytest.raises(ValueError, match="Did you mean 'stars'"): load_task(f"csv:{tmp_path/'flats.csv'}?target=star")
    with pytest.raises(ValueError, match="targt"): load_task(f"csv:{tmp_path/'flats.csv'}?targt=stars")

def homes(path, n=60, **columns):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(dict(rooms=rng.integers(1, 6, n), size=rng.normal(80, 20, n).round(1), price=rng.normal(200, 30, n).round(1)))
    frame.assign(**columns).to_csv(path, index=False)
    return f"csv:{path}?target=price"

def test_cells_that_are_no_numbers_are_refused(cache, tmp_path):
    "A column with an empty cell is not a column of texts."
    gap = [80.] * 59 + [None]
    for cells in (gap, [80.] * 59 + [np.inf], [80.] * 59 + ["n/a"]):
        with pytest.raises(ValueError, match="1 cells .* no finite numbers, the first is .* of 'size' in row 59"): load_task(homes(tmp_path/"a.csv", size=cells))
    assert load_task(homes(tmp_path/"a.csv", size=gap) + "&features=rooms").inputs[0].shape == (1,)

@pytest.mark.parametrize("more", [dict(city=["Rome", "Oslo", "Paris"] * 20), dict(day=[f"2020-01-{i % 28 + 1:02}" for i in range(60)]), dict(garden=[True, False] * 30), dict(id=range(60))], ids=lambda m: next(iter(m)))
def test_columns_that_are_no_measurements_are_left_out(cache, tmp_path, more):
    task = load_task(homes(tmp_path/"a.csv", **more))
    name = next(iter(more))
    assert task.medium.name == "array" and task.inputs[0].shape == (2,)
    assert repr(name) in task.reading["columns not used"] and any(e.status == "finding" for e in task.reading.entries)

def test_texts_come_before_numbers(cache, tmp_path):
    task = load_task(homes(tmp_path/"a.csv", advert=[f"a quiet flat near the park, number {i}" for i in range(60)]))
    assert task.medium.name == "text"
    assert load_task(homes(tmp_path/"a.csv", advert=[f"a quiet flat near the park, number {i}" for i in range(60)]) + "&features=size,rooms").inputs[0].shape == (2,)
    with pytest.raises(ValueError, match="Did you mean 'rooms'"): load_task(homes(tmp_path/"a.csv") + "&features=room")

def test_a_target_alone_predicts_nothing(cache, tmp_path):
    pd.DataFrame(dict(price=[1.5, 2.5, 3.5])).to_csv(tmp_path/"a.csv", index=False)
    with pytest.raises(ValueError, match="has only the target"): load_task(f"csv:{tmp_path/'a.csv'}?target=price")

def test_equal_test_targets_are_a_finding(cache):
    x, y = rows_of_numbers(40)
    task = load_task((x, y, x[:5], np.full(5, 1.5)))
    assert "R² is not defined" in task.reading["test targets"]

def pictures(folder, split="", n=24, targets=None):
    place = folder/split; place.mkdir(parents=True)
    targets = [i * 1.5 for i in range(n)] if targets is None else targets
    for i in range(n): Image.new("RGB", (16, 16), (10 * i, 0, 0)).save(place/f"{i}.png")
    pd.DataFrame(dict(file_name=[f"{i}.png" for i in range(n)], age=targets)).to_csv(place/"metadata.csv", index=False)

def test_folders_with_metadata(cache, tmp_path):
    pictures(tmp_path/"faces")
    task = load_task(f"folder:{tmp_path/'faces'}?target=age")
    assert task.kind.name == "regression" and task.y[2] == 3. and task.inputs[2].getpixel((0, 0)) == (20, 0, 0)
    for split in ("train", "test"): pictures(tmp_path/"split", split)
    task = load_task(f"folder:{tmp_path/'split'}?target=age")
    assert task.origin["test"] == "official" and len(task.splits["test"]) == 24

def test_folders_that_cannot_be_read(cache, tmp_path):
    pictures(tmp_path/"faces")
    with pytest.raises(ValueError, match="Did you mean 'age'"): load_task(f"folder:{tmp_path/'faces'}?target=ages")
    (tmp_path/"faces"/"3.png").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 24 pictures .* missing.*'3.png'"): load_task(f"folder:{tmp_path/'faces'}?target=age")
    (tmp_path/"faces"/"metadata.csv").unlink()
    with pytest.raises(FileNotFoundError, match="no metadata.csv"): load_task(f"folder:{tmp_path/'faces'}?target=age")

def test_pictures_that_no_table_names(cache, tmp_path):
    pictures(tmp_path/"faces")
    Image.new("RGB", (16, 16)).save(tmp_path/"faces"/"extra.png")
    assert "1 that no metadata.csv names, such as 'extra.png'" in load_task(f"folder:{tmp_path/'faces'}?target=age").reading["pictures not used"]

def test_rows_without_target_are_left_out(cache, tmp_path):
    pictures(tmp_path/"faces", targets=[None, *range(1, 24)])
    task = load_task(f"folder:{tmp_path/'faces'}?target=age")
    assert len(task.y) == 23 and "1 rows" in str(task.reading)

# ---- protocols

def run(task, protocols, tmp_path, **more):
    df = evaluate(torch.nn.Identity(), task, protocols=protocols, out_dir=tmp_path/"runs", dtype="float32", **more)
    assert (df.error == "").all(), df.error.tolist()
    return {r.protocol: read_predictions(tmp_path/"runs", r.key) for r in df.itertuples()}, df.set_index("protocol")

def test_the_mean_is_the_baseline(numbers, tmp_path):
    found, df = run(numbers, "majority", tmp_path)
    mean = numbers.y[fit_rows(numbers)].mean()
    assert np.allclose(found["majority"]["test"].pred, mean)
    assert df.train["majority"] == pytest.approx(0, abs=1e-9) and df.metric["majority"] == "r2"

def test_the_linear_probe_is_ridge(numbers, tmp_path):
    found, _ = run(numbers, "linear_probe", tmp_path)
    test, rows = found["linear_probe"]["test"], fit_rows(numbers)
    x = np.asarray(numbers.inputs.items, np.float64)
    scale = StandardScaler().fit(x[rows])
    oracle = Ridge(alpha=test.meta["choices"]["strength"]).fit(scale.transform(x[rows]), numbers.y[rows])
    assert np.allclose(test.pred, oracle.predict(scale.transform(x[test.ids])), atol=1e-6)

def test_neighbours_leave_themselves_out(numbers, tmp_path):
    found, _ = run(numbers, "knn", tmp_path)
    train, rows = found["knn"]["train"], fit_rows(numbers)
    x = np.asarray(numbers.inputs.items, np.float64)[rows]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    similar = x @ x.T
    np.fill_diagonal(similar, -2)
    k = train.meta["choices"]["k"]
    for i in range(0, len(rows), 17):
        nearest = np.argsort(-similar[i], kind="stable")[:k]
        assert train.pred[i] == pytest.approx(train.y[nearest].mean())

class Small(torch.nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.body, self.head = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh()), torch.nn.Linear(16, 3)
    def forward(self, x): return self.head(self.body(x))

def test_networks_are_trained_on_targets(numbers, tmp_path):
    df = evaluate(Small(), numbers, protocols=["majority", "linear_probe", "fine_tune?epochs=4&lrs=0.003", "fine_tune?epochs=4&lrs=0.003&head=random"], out_dir=tmp_path/"r", dtype="float32")
    assert (df.error == "").all(), df.error.tolist()
    test = df.set_index("protocol").test
    assert test["fine_tune?epochs=4&lrs=0.003"] > test["linear_probe"] - .05
    meta = read_predictions(tmp_path/"r", df.key.iloc[2])["test"].meta
    assert meta["epochs"][0]["epoch"] == 0 and "valid_squared_error" in meta["epochs"][0]

def test_sixteen_bits_suffice_for_any_unit(tmp_path):
    "Targets of 100,000 ± 10 are trained as well as targets of 0 ± 10: what passes the network is standardised."
    x, y = rows_of_numbers()
    figures = []
    for offset in (0, 100_000):
        task = load_task((x, y - 100 + offset))
        df = evaluate(Small(), task, protocols="fine_tune?epochs=4&lrs=0.003", out_dir=tmp_path/f"{offset}", dtype="bfloat16")
        assert (df.error == "").all(), df.error.tolist()
        figures.append(df[df.protocol != "majority"].test.iloc[0])
    assert figures[0] > .7 and figures[1] == pytest.approx(figures[0], abs=.02)

def test_seeds_and_names_change_nothing_else(numbers, tmp_path):
    a, _ = run(numbers, "linear_probe, knn", tmp_path/"a")
    b, _ = run(numbers, "knn, linear_probe", tmp_path/"b")
    for name in ("knn", "linear_probe"): assert np.array_equal(a[name]["test"].pred, b[name]["test"].pred)

# ---- from end to end

def test_curves_and_rankings(numbers, tmp_path):
    curve = learning_curve(torch.nn.Identity(), numbers, sizes=[20, 60, 120], seeds=(0, 1), out_dir=tmp_path/"curve", dtype="float32")
    measured = curve[curve.origin == "measured"].sort_values("n_train")
    assert measured.test.iloc[-1] > measured.test.iloc[0]
    ranking = rank_models([torch.nn.Identity(), Small()], numbers, budget=20, out_dir=tmp_path/"rank", dtype="float32")
    assert set(ranking.columns) >= {"model", "score"} and len(ranking) == 2

def test_worst_cases_first():
    p = answers(n=50)
    found = worst_cases(p)
    error = np.abs(p.y - p.pred)
    assert found.id.iloc[0] == error.argmax() and len(found) == 50
