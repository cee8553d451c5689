"Classes in order: their metrics against scikit-learn, and the whole way from a table."
import numpy as np, pandas as pd, pytest
from sklearn.metrics import cohen_kappa_score, mean_absolute_error

from upgradeability import METRICS, Predictions, compare, score, upgradeability

def draw(seed, n=200, grades=5):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, grades, n)
    return Predictions(np.arange(n), y, np.clip(y + rng.integers(-1, 2, n), 0, grades - 1))

@pytest.mark.parametrize("seed", range(8))
def test_metrics_of_grades_are_scikit_learn_s(seed):
    p = draw(seed, grades=2 + seed)
    assert score(p, "weighted_kappa").value == pytest.approx(cohen_kappa_score(p.y, p.pred, weights="quadratic"), abs=1e-12)
    assert score(p, "mean_absolute_error").value == pytest.approx(mean_absolute_error(p.y, p.pred), abs=1e-12)

def test_intervals_and_directions():
    p, perfect = draw(0), Predictions(np.arange(200), draw(0).y, draw(0).y)
    k, e = score(p, "weighted_kappa"), score(p, "mean_absolute_error")
    assert k.low < k.value < k.high and e.low < e.value < e.high and not METRICS["mean_absolute_error"].higher_is_better
    assert score(perfect, "weighted_kappa").value == 1 and compare(p, perfect, "mean_absolute_error").difference.value == pytest.approx(e.value)
    assert upgradeability(perfect, p, "mean_absolute_error").value < 0 # up is better

def test_a_constant_answer_is_kappa_zero_and_one_grade_throughout_is_perfect():
    y = np.array([0, 1, 2, 2])
    assert score(Predictions(range(4), y, [1] * 4), "weighted_kappa").value == pytest.approx(0)
    assert score(Predictions(range(4), [1] * 4, [1] * 4), "weighted_kappa").value == 1

def test_sentiment_as_classes_and_as_grades(tmp_path):
    "Words that ten people graded from -4 to 4."
    pytest.importorskip("transformers"); package = pytest.importorskip("vaderSentiment")
    from pathlib import Path
    from upgradeability import evaluate, read_predictions
    lexicon = pd.read_csv(Path(package.__file__).parent/"vader_lexicon.txt", sep="\t", header=None, quoting=3, names=["word", "mean", "sd", "all"])
    words = lexicon[lexicon.word.str.fullmatch("[a-z]{3,}")].iloc[::6]
    pd.DataFrame(dict(word=words.word, sign=np.where(words["mean"] > 0, "positive", "negative"), grade=words["mean"].round().astype(int))).to_csv(tmp_path/"words.csv", index=False)
    signs = evaluate("bundled:minilm", f"csv:{tmp_path/'words.csv'}?text=word&label=sign", protocols="linear_probe", dtype="float32")
    assert signs.gain_low[signs.protocol == "linear_probe"].iloc[0] > .1
    grades = evaluate("bundled:minilm", f"csv:{tmp_path/'words.csv'}?text=word&label=grade&grades=true", protocols="linear_probe", dtype="float32")
    test = read_predictions(grades.attrs["out_dir"], grades.key[grades.protocol == "linear_probe"].iloc[0])["test"]
    assert test.meta["kind"] == "grades" and score(test, "weighted_kappa").low > .3 and score(test, "mean_absolute_error").value < 1.5

# --- grades with gaps, fractions and words

def oracle(names, y, pred):
    "scikit-learn on the values: kappa with every grade from the lowest to the highest that the values allow."
    values = np.array(names, float)
    step = np.gcd.reduce(np.round((values - values.min()) * 2).astype(int)) / 2
    scale = np.arange(values.min(), values.max() + step / 2, step)
    at = {v: i for i, v in enumerate(scale)}
    code = lambda c: [at[values[i]] for i in c]
    kappa = cohen_kappa_score(code(y), code(pred), weights="quadratic", labels=range(len(scale)))
    return kappa, mean_absolute_error(values[y], values[pred])

@pytest.mark.parametrize("names", [("1", "2", "3", "4", "10"), ("-4", "0", "3", "100"), ("0.5", "1", "1.5", "5"), ("1990", "1991", "2020"), ("10", "20", "30", "40"), ("3", "2", "1")])
def test_grades_keep_their_values(names):
    p = draw(1, grades=len(names))
    p = Predictions(p.ids, p.y, p.pred, meta=dict(classes=names, kind="grades"))
    kappa, error = oracle(names, p.y, p.pred)
    assert score(p, "weighted_kappa").value == pytest.approx(kappa, abs=1e-12)
    assert score(p, "mean_absolute_error").value == pytest.approx(error, abs=1e-12)

@pytest.mark.parametrize("names", [("1", "2", "3", "4", "5"), ("-2", "-1", "0", "1", "2"), ("awful", "poor", "fair", "good", "great"), ("1 star", "2", "3", "4", "10"), ("nan", "1", "2", "3", "9"), None])
def test_grades_without_gaps_and_words_count_by_position(names):
    p = draw(2)
    meta = {} if names is None else dict(classes=names)
    named, plain = Predictions(p.ids, p.y, p.pred, meta=meta), Predictions(p.ids, p.y, p.pred)
    for metric in ("weighted_kappa", "mean_absolute_error"): assert score(named, metric) == score(plain, metric)

def test_grades_with_gaps_from_a_table(tmp_path):
    "Stored predictions of a table graded 1 2 3 4 10: kappa and error as scikit-learn computes them from the numbers."
    pytest.importorskip("transformers")
    from upgradeability import evaluate, load_task, read_predictions
    grade = np.random.default_rng(0).integers(0, 5, 120)
    names, words = np.array([1, 2, 3, 4, 10]), "awful weak fair good great".split()
    pd.DataFrame(dict(text=[f"{words[g]} thing {i % 40}" for i, g in enumerate(grade)], score=names[(grade + (np.arange(120) % 4 == 0)) % 5])).to_csv(tmp_path/"g.csv", index=False)
    task = load_task(f"csv:{tmp_path/'g.csv'}?grades=true")
    df = evaluate("bundled:minilm", task, protocols="knn", metric="weighted_kappa", dtype="float32", out_dir=tmp_path/"run")
    row = df[df.protocol == "knn"].iloc[0]
    p = read_predictions(df.attrs["out_dir"], row.key)["test"]
    y, pred = (np.array(p.meta["classes"], int)[c] for c in (p.y, p.pred))
    assert row.test == pytest.approx(cohen_kappa_score(y, pred, weights="quadratic", labels=range(1, 11)), abs=1e-12)
    assert score(p, "mean_absolute_error").value == pytest.approx(mean_absolute_error(y, pred), abs=1e-12)
    assert "1, 2, 3, 4, 10" in task.reading["grades"]
