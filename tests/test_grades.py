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
