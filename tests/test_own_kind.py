"A kind of task that the package does not know: sixty lines here, and no change elsewhere."
import json

import matplotlib.pyplot as plt, numpy as np, pytest, torch
from sklearn.linear_model import Ridge

from upgradeability import evaluate, learning_curve, make_task, rank_models, read_predictions
from upgradeability.kind import KINDS, Kind, Words
from upgradeability.media import array_inputs
from upgradeability.metrics import METRICS, Metric, mean_stats, ratio
from upgradeability.papermill_io import notebook_dir
from upgradeability.protocols import arrays_of, fit_rows, on_random_weights, predictions_of
from upgradeability.texts import text_inputs

# ---- the kind: directions in degrees. They are neither classes nor numbers, since 359 is next to 1.

def encode(labels, classes): return np.asarray(labels, float) % 360, ()

def quarters(y, unit): return np.arange(len(y)), (y // 90).astype(int)

def closeness(p): return np.cos(np.radians(p.y - p.pred))

def always_north(backbone, task, features, *, seed=0):
    rows = fit_rows(task), task.splits["test"]
    return predictions_of(task, *[(np.zeros(len(r)), None) for r in rows])

def waves(y): return np.stack([np.cos(np.radians(y)), np.sin(np.radians(y))], 1)

def linear_probe(backbone, task, features, *, seed=0):
    x, x_test, y = arrays_of(features(backbone), task)
    model = Ridge(1.).fit(x, waves(y))
    answers = []
    for given in (x, x_test):
        cos, sin = model.predict(given).T
        answers.append((np.degrees(np.arctan2(sin, cos)) % 360, None))
    return predictions_of(task, *answers)

def random_probe(backbone, task, features, *, seed=0):
    return on_random_weights(linear_probe, backbone, task, features, seed)

def protocols(): return dict(majority=always_north, linear_probe=linear_probe, random_probe=random_probe)

def plot_answers(test):
    ax = plt.subplots()[1]
    ax.scatter(test.y, test.pred)
    return ax

def targets(features, task): return waves(features.y), None

METRIC = Metric("closeness", mean_stats(closeness), ratio, reads="values")

ANGLES = Kind(
    "angles", Words(majority="always answering north"), metric="closeness", also=("closeness",), judge="closeness",
    encode=encode, strata=quarters, has_classes=False, protocols=protocols, confusions=plot_answers, rank_targets=targets)

# ---- it goes through everything

@pytest.fixture
def cache(tmp_path, monkeypatch):
    "An empty cache."
    monkeypatch.setenv("UPGRADEABILITY_CACHE", str(tmp_path/"cache"))

@pytest.fixture
def compasses(cache, monkeypatch):
    monkeypatch.setitem(KINDS, "angles", ANGLES)
    monkeypatch.setitem(METRICS, "closeness", METRIC)
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 360, 240)
    x = np.c_[waves(angle), rng.normal(size=(240, 3))] + rng.normal(scale=.1, size=(240, 5))
    return make_task("compasses", array_inputs(x.astype(np.float32)), angle, {}, medium="array", kind="angles")

class Mixed(torch.nn.Module):
    "A network of one layer, whose random weights lose some directions."
    def __init__(self, width):
        super().__init__()
        torch.manual_seed(0)
        self.body = torch.nn.Linear(5, width)
    def forward(self, x): return torch.relu(self.body(x))

def test_evaluate(compasses, tmp_path):
    df = evaluate(torch.nn.Identity(), compasses, protocols="majority, linear_probe", out_dir=tmp_path, dtype="float32")
    rows = df.set_index("protocol")
    assert (df.error == "").all() and (df.metric == "closeness").all()
    test = read_predictions(tmp_path, rows.key["linear_probe"])["test"]
    assert rows.test["linear_probe"] == pytest.approx(np.cos(np.radians(test.y - test.pred)).mean()) and rows.gain["linear_probe"] > .5

def test_curve_and_ranking(compasses, tmp_path):
    curve = learning_curve(torch.nn.Identity(), compasses, sizes=[20, 80], seeds=(0, 1), out_dir=tmp_path/"curve", dtype="float32")
    assert curve.test.notna().any()
    ranking = rank_models([torch.nn.Identity(), Mixed(3)], compasses, budget=20, out_dir=tmp_path/"rank", dtype="float32")
    assert len(ranking) == 2

WINDS = ["north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west"]

@pytest.fixture
def winds(cache, monkeypatch):
    "The same kind on texts, since the models of a report are specs."
    monkeypatch.setitem(KINDS, "angles", ANGLES)
    monkeypatch.setitem(METRICS, "closeness", METRIC)
    texts = [f"{hour} o'clock, wind from the {WINDS[i % 8]}" for i, hour in enumerate(range(160))]
    return make_task("winds", text_inputs(texts), [45. * (i % 8) for i in range(160)], {}, medium="text", kind="angles")

def run_report(name, **parameters):
    "The cells of a runnable notebook, run here with other parameters: the kind of this test is known in this process only."
    from IPython.display import display
    found = json.loads((notebook_dir()/f"{name}.ipynb").read_text(encoding="utf-8"))
    space = dict(display=display, __name__="report")
    for c in found["cells"]:
        if c["cell_type"] != "code": continue
        code = "".join(line for line in c["source"] if not line.startswith("%"))
        exec(compile(code, f"{name}.ipynb", "exec"), space)
        if "parameters" in c["metadata"].get("tags", []): space |= parameters

@pytest.mark.parametrize("name, more", [("eval", dict(model="bundled:minilm", protocols="majority, linear_probe, random_probe")), ("compare", {}),
    ("curve", dict(sizes="20, 60", seeds="0, 1")), ("rank", dict(budget=10))])
def test_reports(winds, tmp_path, monkeypatch, name, more):
    monkeypatch.setattr("upgradeability.core.check_parameters", lambda given: None)
    models = {} if "model" in more else dict(models="bundled:minilm, bundled:minilm?random=0")
    run_report(name, task=winds, out_dir=str(tmp_path), dtype="float32", **models, **more)
    assert list(tmp_path.glob("*.svg"))
