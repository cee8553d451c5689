"`improve`: nothing is chosen by the test labels, and the figures are those of `evaluate` and `compare`."
from dataclasses import replace
import nbformat, numpy as np, pandas as pd, pytest

from upgradeability import (compare, evaluate, improve, LEVERS, load_backbone, load_task, Predictions, upgradeability, verify,
                            write_report)
from upgradeability.adjusting import adjusted_probe, mirrored
from upgradeability.comparisons import holm
from upgradeability.features import extract
from upgradeability import improving
from upgradeability.improving import fit_epochs, larger_names, rehearsals_of
from upgradeability.protocols import arrays_of, fit_rows, linear_probe

LEARNED = ["lever", "held_out", "held_out_low", "held_out_high", "examples", "status"]

def arrays(n=240, n_test=160, seed=0, classes=3):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n + n_test, 8)).astype(np.float32)
    y = (x[:, :classes] + .7 * rng.normal(size=(len(x), classes))).argmax(1)
    y[:n:9] = rng.integers(0, classes, len(y[:n:9]))
    return x[:n], y[:n], x[n:], y[n:]

@pytest.fixture(scope="module")
def pixels(): return load_backbone("bundled:identity")

@pytest.fixture(scope="module")
def run(pixels, tmp_path_factory):
    folder, task = tmp_path_factory.mktemp("improve"), load_task(arrays())
    options = dict(levers="clean, temperature, prior, flip", metric="log_loss", budget=60., keep=1, out_dir=folder)
    return task, options, improve(pixels, task, **options)

def test_shuffled_test_labels_change_no_choice(pixels, run, tmp_path):
    task, options, df = run
    y, test = task.y.copy(), task.splits["test"]
    y[test] = np.random.default_rng(1).permutation(y[test])
    other = improve(pixels, replace(task, y=y, fingerprint="shuffled"), **options | dict(out_dir=tmp_path))
    pd.testing.assert_frame_equal(*(pd.DataFrame(o)[LEARNED] for o in (df, other)))
    assert other.test.iloc[0] != df.test.iloc[0]

def test_the_figures_are_those_of_evaluate_and_compare(pixels, run, tmp_path):
    task, _, df = run
    tested = df.tested
    assert len(tested) == 1 and set(df.lever) == {"now", "clean", "temperature", "prior", "flip"}
    row = tested.iloc[0]
    own = evaluate(pixels, task, protocols=["linear_probe", row.protocol], metric="log_loss", out_dir=tmp_path)
    parts = {p: own.predictions(k) for p, k in zip(own.protocol, own.key)}
    now, best = parts["linear_probe"], parts[row.protocol]
    found = compare(now["test"], best["test"], "log_loss")
    assert (row.gain, row.gain_low, row.gain_high, row.p) == (found.difference.value, found.difference.low, found.difference.high, found.p_value)
    u = [upgradeability(o["train"], o["test"], "log_loss").value for o in (now, best)]
    assert np.isclose(row.u_change, u[1] - u[0]) and row.u_change_low < row.u_change < row.u_change_high
    assert row.key in set(own.key) and set(df.cells.key) == {row.key, df.key.iloc[0]}

def test_a_rerun_reads_what_is_stored(pixels, run, monkeypatch):
    task, options, df = run
    monkeypatch.setattr(improving, "_make_plan", None)
    again = improve(pixels, task, **options)
    timed = ["seconds", "seconds_refit", "ms"]
    pd.testing.assert_frame_equal(*(pd.DataFrame(o).drop(columns=timed) for o in (df, again)))

@pytest.mark.parametrize("given, says", [
    (dict(levers="claen"), "Did you mean 'clean'"),
    (dict(budget=0), "budget=0 should be a number of seconds"),
    (dict(n_train=2), "n_train=2 is too small")])
def test_wrong_values_are_refused(pixels, given, says):
    with pytest.raises(ValueError, match=says): improve(pixels, arrays(), **given)

def test_a_class_with_one_label_cannot_be_held_out(pixels):
    x, y, x_test, y_test = arrays()
    kept = np.r_[np.flatnonzero(y != 0), np.flatnonzero(y == 0)[:1]]
    with pytest.raises(ValueError, match="held out of train"): improve(pixels, (x[kept], y[kept], x_test, y_test))

def test_what_is_held_out_is_of_train_and_divides_no_group():
    x, y, x_test, y_test = arrays(200, 40)
    task = load_task((x, y, x_test, y_test), groups=np.arange(240) // 4)
    rehearsal = rehearsals_of(task, seed=1)[0]
    parts = [set(task.group[rows]) for rows in rehearsal.splits.values()]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 50
    assert set(np.concatenate([*rehearsal.splits.values()])) == set(fit_rows(task))
    assert (rehearsal.y[task.splits["test"]] == rehearsal.y[fit_rows(task)[0]]).all()
    shuffled, test = task.y.copy(), task.splits["test"]
    shuffled[test] = shuffled[test][::-1]
    assert rehearsal.fingerprint == rehearsals_of(replace(task, y=shuffled), seed=1)[0].fingerprint

def test_folds_are_disjoint_and_divide_no_group():
    x, y, x_test, y_test = arrays(200, 40)
    plain = load_task((x, y, x_test, y_test))
    grouped = load_task((x, y, x_test, y_test), groups=np.arange(240) // 4)
    for task in (plain, grouped):
        folds = rehearsals_of(task, seed=1)
        held_out = np.concatenate([fold.splits["test"] for fold in folds])
        assert len(folds) == 4 and len(held_out) == len(set(held_out)) and set(held_out) <= set(fit_rows(task))
        assert len(held_out) == 200 or task is grouped
        assert len({fold.fingerprint for fold in folds}) == 4
    for fold in folds:
        parts = [set(grouped.group[rows]) for rows in fold.splits.values()]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 50

@pytest.mark.parametrize("n_groups", [3, 4, 7])
def test_few_groups_make_few_folds_and_none_is_empty(n_groups):
    x, y, x_test, y_test = arrays(210, 30)
    group = np.r_[np.arange(210) % n_groups, np.full(30, n_groups)]
    for targets in (np.r_[y, y_test], np.r_[x[:, 0], x_test[:, 0]]):
        task = load_task((x, targets[:210], x_test, targets[210:]), groups=group)
        folds = rehearsals_of(task)
        assert 1 <= len(folds) <= 4 and all(len(part) for fold in folds for part in (fold.splits["test"], fold.splits["train"]))
        held_out = np.concatenate([fold.splits["test"] for fold in folds])
        assert len(set(held_out)) == len(held_out)

def test_costs_count_sentences_and_items(pixels, monkeypatch, tmp_path):
    from test_recommenders import library
    monkeypatch.setattr(improving, "_warm_up", lambda *_: improving.StepCost(0, .1, 0))
    monkeypatch.setattr(improving, "_seconds_of_training", lambda *_: .01)
    def costs(task, protocol, new_pass):
        start = improving.Start(pixels, task, None)
        search = improving._Search(start, rehearsals_of(task), None, {}, {})
        return improving._cost_of(search, improving.Candidate(pixels, protocol, new_pass), 1e9)[1:], search
    task = library()
    (step, refit), _ = costs(task, "linear_probe", True)
    assert step.first == pytest.approx(.1 * len(task.inputs)) and refit == 0
    (step, refit), search = costs(load_task(arrays()), "linear_probe", True)
    assert step.first == pytest.approx(.1 * len(search.rehearsal.splits["test"])) and refit == pytest.approx(.1 * 160)
    for name, n in (("train", 60), ("test", 30)):
        (tmp_path/f"{name}.conll").write_text("\n".join(["dog B-animal", "rain O", "the O", "a O", ""] * n))
    (step, refit), search = costs(load_task(f"conll:{tmp_path}"), "linear_probe", True)
    assert search.n_held_out == 60 and step.first == pytest.approx(.1 * 15) and refit == pytest.approx(.1 * 30)
    (step, refit), _ = costs(load_task(f"conll:{tmp_path}"), "fine_tune", False)
    rates = len(pixels.medium.rates)
    assert refit == pytest.approx((.01 * 4 * 10 * (1 + .8 * rates) + .1) * 60 + .1 * 30)

def test_with_time_all_training_examples_are_held_out_once(pixels, tmp_path):
    task = load_task(arrays())
    found = {budget: improve(pixels, task, levers="clean", budget=budget, out_dir=tmp_path/str(budget)) for budget in (None, .01)}
    assert found[None].attrs["folds"] == 4 and found[None].attrs["n_held_out"] == task.n_train
    assert found[.01].attrs["folds"] == 1 and found[.01].attrs["n_held_out"] == 60
    def width(df): return (df.held_out_high - df.held_out_low)[df.lever == "clean"].iloc[0]
    assert width(found[None]) < .75 * width(found[.01])

def test_the_figures_of_folds_are_those_of_a_plain_loop(pixels, tmp_path):
    task = load_task(arrays())
    df = improve(pixels, task, levers="clean", out_dir=tmp_path/"own")
    folds = rehearsals_of(task, seed=0)
    n = min(fold.n_train for fold in folds)
    hits = {"linear_probe": [], "adjusted_probe?clean=true": []}
    for fold in folds:
        own = evaluate(pixels, fold, protocols=[*hits], n_train=n, seeds=[0], out_dir=tmp_path/"loop")
        for row in own[own.protocol != "majority"].itertuples():
            test = own.predictions(row.key)["test"]
            hits[row.protocol] += list(test.y == test.pred)
    before, after = map(np.array, hits.values())
    assert len(before) == task.n_train and np.isclose(df.held_out[df.lever == "clean"].iloc[0], after.mean() - before.mean())

def test_recommendations_have_few_levers_and_each_says_why(pixels, tmp_path):
    from test_recommenders import library
    df = improve(pixels, library(), budget=30, out_dir=tmp_path).set_index("lever")
    assert df.status["now"] == "now" and df.status["augment"].endswith("it is for pictures")
    assert "have no" in df.status["finetune"] and df.status["labels"].startswith(("expected", "not known: the curve", "not known: there are too few"))

def test_blind_items_are_those_that_a_user_has_taken():
    from test_recommenders import library
    task = library()
    for fold in rehearsals_of(task):
        test, train = task.splits["test"], fold.splits["train"]
        taken = {(task.unit[row], task.y[row]) for row in train}
        users = set(task.unit[train])
        assert all((fold.unit[row], fold.y[row]) in taken for row in test if fold.unit[row] in users)

def test_levers_of_entities_run(tmp_path, monkeypatch):
    "Rows are words, and a network reads sentences: no row number may be taken for that of a sentence."
    from test_text_models import bert, save
    monkeypatch.setattr(improving, "FOLDS", 2)
    rng = np.random.default_rng(0)
    for name, n in (("train", 60), ("test", 30)):
        sentences = ["\n".join(f"{word} {'B-animal' if word == 'dog' else 'O'}" for word in rng.choice(["dog", "rain", "the", "a"], 6)) for _ in range(n)]
        (tmp_path/f"{name}.conll").write_text("\n\n".join(sentences))
    task = load_task(f"conll:{tmp_path}")
    seed = next(s for s in range(999) if fit_rows(task.sample(20, s))[0] >= len(task.inputs))
    model = load_backbone(f"hf:{save(tmp_path/'bert', bert())}", device="cpu")
    df = improve(model, task, n_train=20, seed=seed, budget=6, levers="layer, finetune, partial", out_dir=tmp_path/"runs").set_index("lever")
    assert not df.status.str.contains("Error|array|failed|index").any(), df.status.tolist()
    assert df.held_out[["layer", "partial"]].notna().all() and df.attrs["n_held_out"] in (10, 20)

def test_users_who_are_held_out_in_several_folds_stay_one_unit():
    from upgradeability.metrics import joined
    a = Predictions([0, 1, 2], [1, 2, 1], [[3, 4], [5, 6], [1, 2]], [[1, 0], [0, 1], [0, 0]])
    both = joined([a, a.take([0, 2])])
    assert both.n_units == 3 and len(both) == 5 and both.scores.sum() == 3

def test_flip_is_the_mean_over_both_pictures_and_prior_the_class_shares():
    task = load_task("digits").sample(60)
    task = replace(task, splits=task.splits | {"test": task.splits["test"][:30]})
    net = load_backbone("timm:test_resnet?random=0", device="cpu")
    found = {b.fingerprint: extract(b, task, dtype="float32") for b in (net, mirrored(net))}
    def features(network): return found[network.fingerprint]
    plain, both, balanced = (adjusted_probe(net, task, features, **o)["test"].scores for o in ({}, dict(flip=True), dict(prior=True)))
    assert np.array_equal(plain, linear_probe(net, task, features)["test"].scores)
    x, x_test, y = arrays_of(found[mirrored(net).fingerprint], task)
    own = replace(found[net.fingerprint], x=found[net.fingerprint].x.copy())
    own.x[-30:] = x_test
    other = linear_probe(net, task, lambda network: own)["test"].scores
    assert np.allclose(both, (plain + other) / 2, atol=1e-6)
    by_hand = plain / np.bincount(y)
    assert np.allclose(balanced, by_hand / by_hand.sum(1, keepdims=True))

@pytest.mark.parametrize("spec, first", [
    ("timm:vit_small_patch16_224.tag", "timm:vit_base_patch16_224"), ("timm:vgg11_bn", "timm:vgg13_bn"),
    ("timm:convnext_tiny?random=1", "timm:convnext_small?random=1"), ("st:all-MiniLM-L6-v2", "st:all-MiniLM-L12-v2"),
    ("timm:efficientnet_b0", "timm:efficientnet_b1"), ("torchvision:densenet121", "torchvision:densenet169")])
def test_larger_siblings(spec, first): assert larger_names(spec)[0] == first

# ---- false alarms

def coins(ids, share, rng, split):
    "Predictions that are right in a share of the cases."
    y = np.zeros(len(ids), int)
    return Predictions(ids, y, (rng.random(len(ids)) >= share).astype(int), split=split, meta=dict(in_sample=True))

def test_false_gains_are_as_rare_as_promised(pixels, monkeypatch, tmp_path):
    "Six levers that change nothing, in 60 runs; benchmarks/improve.py does it with real fits."
    task = load_task(arrays())
    rng = np.random.default_rng(0)
    def rows(self, candidate, task, n, out_dir):
        parts = {split: coins(rows, .7, rng, split) for split, rows in (("train", fit_rows(task)), ("test", task.splits["test"]))}
        return pd.Series(dict(model="m", protocol=candidate.protocol, test=.7, key="k")), parts
    monkeypatch.setattr(improving._Search, "rows", rows)
    monkeypatch.setattr(improving, "_price", lambda *_: {})
    monkeypatch.setattr(improving, "_cost_of", lambda search, candidate, seconds: (candidate, improving.StepCost(0, 1e-3, 0), .1))
    for i in range(6): monkeypatch.setitem(LEVERS, f"null {i}", lambda start: [improving.Candidate(start.backbone, "linear_probe")])
    names = [f"null {i}" for i in range(6)]
    smallest = []
    for seed in range(60):
        tested = improve(pixels, task, levers=names, seed=seed, out_dir=tmp_path/str(seed)).tested
        assert len(tested) == 3 and np.allclose(tested.p_holm, holm(tested.p))
        smallest.append((tested.p_holm.min(), tested.p.min()))
    found = (np.array(smallest) < .05).mean(0)
    assert found[0] <= .05 + 2 * np.sqrt(.05 * .95 / 60), found

def test_fewer_epochs_where_time_is_short(pixels):
    candidate = improving.Candidate(pixels, "fine_tune?augment=flip,crop")
    assert fit_epochs(candidate, 1e-3, 100, np.inf)[0] is candidate
    short, passes = fit_epochs(candidate, .01, 100, 10)
    assert short.protocol == "fine_tune?augment=flip,crop&epochs=5&lrs=0.0003" and np.isclose(passes, 9)

def test_the_report_says_what_raises_it(tmp_path):
    path = write_report("improve", tmp_path/"out.ipynb", model="bundled:identity", task="digits", n_train=100, metric="log_loss",
                        levers="clean, temperature, flip", out_dir=str(tmp_path/"runs"), dtype="float32")
    cells = nbformat.read(path, 4).cells
    text = "\n".join(o.get("data", {}).get("text/markdown", "") for c in cells for o in c.get("outputs", []))
    assert "The largest real gain is" in text or "No gain is distinguishable from 0" in text
    assert "it is for pictures" in text and "test labels are suspected" in text
    assert (tmp_path/"runs"/"levers.svg").exists() and verify(tmp_path/"runs").empty
    assert path.with_suffix(".html").exists() and [o for c in cells for o in c.get("outputs", []) if o.get("name") == "stderr"] == []


@pytest.mark.parametrize("keep", [0, -1, 1.5])
def test_some_lever_has_to_be_kept(keep):
    with pytest.raises(ValueError, match="keep=.* from 1"): improve("bundled:identity", "digits", keep=keep)
