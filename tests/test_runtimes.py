"The engines that run a network: they agree with PyTorch or are not taken, give the same bits each time, and report nothing."
import os, shutil, subprocess, sys
from dataclasses import replace

import numpy as np, pytest, torch
from torch import nn

from upgradeability import evaluate, extract, load_backbone, load_task
from upgradeability import runtimes
from upgradeability.features import runtime_for
from test_features import RESIZE, network

pytest.importorskip("openvino", reason="needs the extra `fast`")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    "An empty cache for each test, and no engine that an earlier test started."
    monkeypatch.setenv("UPGRADEABILITY_CACHE", str(tmp_path/"cache"))
    monkeypatch.setattr(runtimes, "_started", {})
    return tmp_path/"cache"


def pictures(n=60):
    x = np.random.default_rng(0).integers(0, 256, (n, 12, 12, 3), dtype=np.uint8)
    return load_task((x, np.arange(n) % 4))


def rows(n=60, width=8):
    x = np.random.default_rng(0).normal(size=(n, width)).astype(np.float32)
    return load_task((x, np.arange(n) % 2))


def backbone(): return load_backbone(network(), preprocess=RESIZE, device="cpu")


def off(a, b): return np.linalg.norm(a - b) / np.linalg.norm(b)


def read(features): return features.meta["reading"]["runtime"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_pictures_agree_and_are_stored_apart(dtype):
    options = dict(batch_size=16, dtype=dtype)
    fast, plain = (extract(backbone(), pictures(), runtime=r, **options) for r in ("openvino", "torch"))
    assert fast.meta["runtime"].startswith("openvino ") and plain.meta["runtime"] == "torch"
    assert fast.meta["key"] != plain.meta["key"] and fast.meta["computed"] == plain.meta["computed"] == 60
    exact = extract(backbone(), pictures(), runtime="torch", batch_size=16, dtype="float32")
    allowed = 1e-4 if dtype == "float32" else 1.5 * off(plain.x, exact.x)
    assert off(fast.x, exact.x) <= allowed
    assert off(fast.source_probs, exact.source_probs) <= max(allowed, 1.5 * off(plain.source_probs, exact.source_probs))
    assert extract(backbone(), pictures(), runtime="openvino", **options).meta["computed"] == 0


def test_values_do_not_depend_on_history_nor_on_the_stored_graph(tmp_path, monkeypatch):
    "In a new cache, from the stored graph, in small parts and in another order: the same bits."
    order = np.random.default_rng(1).permutation(60)
    def go(name, *requests):
        monkeypatch.setenv("UPGRADEABILITY_CACHE", str(tmp_path/name))
        runtimes._started.clear()
        for part in requests: f = extract(backbone(), pictures(), rows=part, batch_size=16, runtime="openvino")
        assert f.meta["runtime"].startswith("openvino")
        return f
    whole = go("a", order)
    shutil.rmtree(tmp_path/"a"/"features")
    assert np.array_equal(go("a", order).x, whole.x), "from the stored graph"
    assert np.array_equal(go("b", order[:7], order[5:40], order).x, whole.x), "in parts"
    (graph,) = (tmp_path/"a").glob("converted/*/network.xml")
    graph.write_text("damaged")
    shutil.rmtree(tmp_path/"a"/"features")
    assert np.array_equal(go("a", order).x, whole.x), "after damage"


def test_one_graph_serves_all_lengths(tmp_path):
    from test_text_models import TEXTS, bert, save, task_of
    folder = save(tmp_path/"bert", bert())
    texts = TEXTS + ["rain " * n for n in (3, 9, 14, 30, 45)] + ["a dog"]
    model, task = load_backbone(f"hf:{folder}", device="cpu"), task_of(texts)
    options = dict(rows=range(len(texts)), batch_size=4, dtype="float32")
    fast, plain = (extract(model, task, runtime=r, **options) for r in ("openvino", "torch"))
    assert fast.meta["runtime"].startswith("openvino"), read(fast)
    assert np.abs(fast.x - plain.x).max() < 1e-5
    assert len(list((tmp_path/"cache"/"converted").iterdir())) == 1


LONG = [f"{word} " * n for word, n in zip(["rain", "dog", "a", "the"] * 3, (40, 44, 47, 38, 41, 46, 39, 43, 45, 3, 5, 2))]

@pytest.mark.parametrize("form", ["cls", "ladder", "words ladder"])
def test_batches_of_every_size_agree(form, tmp_path, monkeypatch):
    "Fewer long texts make a batch: a graph that was made for a full batch may not be one for that many texts only."
    from test_text_models import bert, save, task_of
    from upgradeability import features
    from upgradeability.ladder import make_ladder
    monkeypatch.setattr(features, "LONG", 8)
    folder = save(tmp_path/"bert", bert())
    where = dict(pooling="cls") if form == "cls" else {}
    model = load_backbone(f"hf:{folder}", device="cpu", **where)
    texts = [*LONG, "a dog", "the rain"]
    task = sentences(texts, tmp_path) if "words" in form else task_of(texts)
    if "ladder" in form: model = make_ladder(model, task).backbone
    fast, plain = (extract(model, task, runtime=r, batch_size=8, dtype="float32") for r in ("openvino", "torch"))
    assert fast.meta["runtime"].startswith("openvino"), read(fast)
    assert np.abs(fast.x - plain.x).max() < 1e-5


def sentences(texts, folder):
    "Texts as sentences of words with tags."
    for name in ("train", "test"):
        lines = [f"{word} {'O' if i % 3 else 'B-X'}\n" for text in texts for i, word in enumerate([*text.split(), ""])]
        (folder/f"{name}.conll").write_text("".join("\n" if line[0] == " " else line for line in lines))
    return load_task(f"conll:{folder}")


class Sized(nn.Module):
    "A network whose graph is for one number of texts."
    def __init__(self, net):
        super().__init__()
        self.net, self.config = net, net.config

    def forward(self, input_ids, attention_mask=None, **more):
        out = self.net(input_ids=input_ids, attention_mask=attention_mask)
        shift = torch.arange(len(input_ids)) * 0 # `len` is a constant of the graph
        out.last_hidden_state = out.last_hidden_state + shift[:, None, None]
        return out


def test_rows_are_counted_where_a_batch_says_how_many_it_has():
    found = dict(x=np.zeros((3, 2)))
    for batch in (torch.zeros(3, 5), dict(input_ids=torch.zeros(9), long=torch.zeros(3, dtype=bool)), dict(a=torch.zeros(9), b=torch.zeros(2))):
        runtimes._check_rows(found, batch)
    with pytest.raises(RuntimeError, match="3 rows of features for 5"): runtimes._check_rows(found, torch.zeros(5, 5))


def test_a_graph_for_one_size_is_refused(tmp_path):
    from test_text_models import bert, save, task_of
    model = load_backbone(f"hf:{save(tmp_path/'bert', bert())}", device="cpu")
    model = replace(model, module=Sized(model.module).eval(), fingerprint="sized")
    task = task_of(LONG)
    asked, plain = (extract(model, task, runtime=r, batch_size=8, dtype="float32") for r in ("openvino", "torch"))
    assert asked.meta["runtime"] == "torch" and np.array_equal(asked.x, plain.x)
    (entry,) = [e for e in asked.meta["reading"] if e.about == "runtime"]
    assert "has the size" in entry.value


class Branch(nn.Module):
    "A network that does something else where the batch is bright."
    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(8, 6), nn.Linear(6, 2)

    def forward(self, x):
        x = self.first(x)
        if x.mean() > 0: x = 2 * x
        return self.head(x)


class Counter(nn.Module):
    "A network that stores something at every call."
    def __init__(self):
        super().__init__()
        self.head, self.last = nn.Linear(8, 2), None

    def forward(self, x):
        self.last = x * 2
        return self.head(self.last)


class Numpy(nn.Module):
    "A network that leaves PyTorch on its way."
    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(8, 6), nn.Linear(6, 2)

    def forward(self, x): return self.head(torch.from_numpy(np.tanh(self.first(x).numpy())))


@pytest.mark.parametrize("module, says", [(Branch, "depend on the values"), (Numpy, "does not take this network")])
def test_what_cannot_be_converted_stays_in_pytorch_and_says_so(module, says, capfd):
    model = load_backbone(module(), device="cpu")
    asked, plain = (extract(model, rows(), runtime=r) for r in ("openvino", "torch"))
    assert asked.meta["runtime"] == "torch" and np.array_equal(asked.x, plain.x)
    (entry,) = [e for e in asked.meta["reading"] if e.about == "runtime"]
    assert says in entry.value and entry.status == "finding"
    assert capfd.readouterr().err == ""


def test_the_network_itself_stays_as_it_was():
    module = Counter()
    extract(load_backbone(module, device="cpu"), rows(), runtime="openvino")
    assert module.last is None or type(module.last) is torch.Tensor
    assert torch.isfinite(module(torch.zeros(2, 8))).all()


def test_an_engine_that_does_not_agree_is_not_taken(monkeypatch):
    class Wrong(runtimes._OpenVino):
        def __call__(self, batch): return {k: v * 1.001 for k, v in super().__call__(batch).items()}
    monkeypatch.setitem(runtimes.ENGINES, "openvino", Wrong)
    f = extract(backbone(), pictures(), batch_size=16, dtype="float32", runtime="openvino")
    assert f.meta["runtime"] == "torch" and "does not agree" in str(f.meta["reading"]) and "0.001" in str(f.meta["reading"])


def test_auto_depends_on_the_work_and_not_on_rows_or_the_clock(monkeypatch):
    model, task = backbone(), pictures()
    def chosen(): return str(runtime_for(model, task, batch_size=16, dtype="float32")).split()[0]
    assert chosen() == "torch"
    monkeypatch.setattr(runtimes, "WORTH", 1)
    assert chosen() == "openvino"
    few = extract(model, task, rows=[3], batch_size=16, dtype="float32")
    assert few.meta["runtime"].startswith("openvino")
    monkeypatch.setattr(runtimes, "_tried", None)
    assert chosen() == "openvino", "the trial is remembered"
    monkeypatch.setattr(runtimes, "_is_installed", lambda name: False)
    assert chosen() == "torch"
    with pytest.raises(ModuleNotFoundError, match=r"upgradeability\[fast\]"): extract(model, task, runtime="openvino")


def test_wrong_names_are_said_before_anything_is_computed(cache):
    with pytest.raises(ValueError, match="Unknown runtime 'openvine'. Did you mean 'openvino'"):
        evaluate(backbone(), pictures(), runtime="openvine")
    assert not (cache/"features").exists()


def test_evaluate_keeps_runtimes_apart(tmp_path):
    task = pictures(120)
    tables = [evaluate(backbone(), task, protocols="majority, linear_probe", runtime=r, out_dir=tmp_path/"run") for r in ("torch", "openvino")]
    (majority, probe), (majority_again, fast_probe) = (list(t.key) for t in tables)
    assert majority == majority_again and probe != fast_probe
    assert abs(tables[0].test - tables[1].test).max() <= .1
    from upgradeability.evaluation import read_predictions
    meta = read_predictions(tmp_path/"run", fast_probe)["test"].meta
    assert meta["runtime"].startswith("openvino ") and "openvino" in meta["versions"]


def test_torch_compile_agrees():
    if not shutil.which("g++"): pytest.skip("needs a C++ compiler")
    model = load_backbone(nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2)), device="cpu")
    fast, plain = (extract(model, rows(), runtime=r) for r in ("compile", "torch"))
    assert fast.meta["runtime"].startswith("compile"), read(fast)
    assert off(fast.x, plain.x) < 1e-5


# ---------------------------------------------------------------- nothing is reported

WATCHED = """
set -e
ip link set lo up
sysctl -qw net.ipv6.conf.default.disable_ipv6=1
ip link add out type veth peer name wall
ip link set out arp off
ip addr add 10.9.0.1/24 dev out
ip link set out up
ip link set wall up
ip route add default dev out
"$@" || exit 5
cat /sys/class/net/out/statistics/tx_packets || awk '/out:/ {print $11}' /proc/net/dev
"""
RUN = """
import numpy as np, torch
from upgradeability import evaluate
x = np.random.default_rng(0).normal(size=(80, 8)).astype('float32')
df = evaluate(torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.Linear(6, 2)), (x[:40], np.arange(40) % 2, x[40:], np.arange(40) % 2), protocols='linear_probe', runtime='openvino', out_dir='run')
assert df.error.isna().all() or (df.error == '').all(), df.error
import transformers, timm, sentence_transformers, torchvision, papermill, sys
assert 'openvino' in sys.modules
"""
CALL = "import socket; s = socket.socket(); s.settimeout(.3); s.connect_ex(('192.0.2.1', 80))"


def packets(code, home):
    "How many packets a Python program sends to the world, in a network of its own with a road that leads nowhere."
    env = {k: v for k, v in os.environ.items() if k not in ("CI", "HF_HUB_OFFLINE", "UPGRADEABILITY_CACHE")}
    env |= dict(HOME=str(home), UPGRADEABILITY_CACHE=str(home/"own"), MPLCONFIGDIR=str(home/"own"))
    command = ["unshare", "-rn", "bash", "-c", WATCHED, "watched", sys.executable, "-c", code]
    done = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, timeout=120)
    if done.returncode not in (0, 5): pytest.skip(f"needs network namespaces: {done.stderr[-100:]}")
    assert done.returncode == 0, done.stderr[-2000:]
    return int(float(done.stdout.split()[-1]))


def test_nothing_is_sent_and_nothing_is_left_at_home(tmp_path):
    if not (shutil.which("unshare") and shutil.which("ip")): pytest.skip("needs unshare and ip")
    assert packets(CALL, tmp_path) > 0, "a call is seen"
    assert packets(RUN, tmp_path) == 0
    left = {path.name.lower() for path in tmp_path.rglob("*")}
    assert not [name for name in left if "telemetry" in name or "intel" in name], left
