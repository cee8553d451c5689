"The feature cache under kill, damage and company; values that depend on nothing but the example."
import os, signal, subprocess, sys, time, warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import transforms as T

from upgradeability.features import batches, cache_key, extract, model_inputs, resolve_dtype
from upgradeability.models import load_backbone
from upgradeability.datasets import load_task

@pytest.fixture
def cache(tmp_path, monkeypatch):
    "An empty cache."
    monkeypatch.setenv("UPGRADEABILITY_CACHE", str(tmp_path/"cache"))
    return tmp_path/"cache"

def network(seed=0, bn=True):
    "A small convolutional network whose BatchNorm has something to say."
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5))
        net[1].running_mean.normal_(); net[1].running_var.uniform_(.5, 2)
    return net

RESIZE = T.Compose([T.Resize((24, 24)), T.ToTensor()])
def backbone(seed=0): return load_backbone(network(seed), preprocess=RESIZE, device="cpu")
def task(n=200, seed=0): return load_task((np.random.default_rng(seed).integers(0, 256, (n, 12, 12, 3), dtype=np.uint8), np.arange(n) % 4))
def shards(cache): return sorted(cache.rglob("*.safetensors"))

# ---------------------------------------------------------------- what the values depend on

def test_features_are_those_of_the_network(cache):
    b, t = backbone(), task(50)
    f, g = extract(b, t, batch_size=16, dtype="float32"), extract(b, t, batch_size=16, dtype="bfloat16")
    with torch.inference_mode(): known = b.module[:7](torch.stack([RESIZE(Image.fromarray(t.inputs[int(i)])) for i in f.ids])).numpy()
    assert np.allclose(f.x, known, atol=1e-5) and np.allclose(g.x, known, atol=.05) and not np.array_equal(f.x, g.x) and (f.meta["dtype"], g.meta["dtype"]) == ("float32", "bfloat16")
    assert f.x.dtype == np.float32 == f.source_probs.dtype and np.allclose(f.source_probs.sum(1), 1, atol=1e-5)
    assert np.array_equal(f.y, t.y[f.ids]) and all(set(f.ids[f.splits[k]]) == set(t.splits[k]) for k in t.splits) and isinstance(f.x, np.memmap)

@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_values_do_not_depend_on_history(dtype, tmp_path, monkeypatch):
    "Small subsets first, other orders, another company in the batch: the same bits."
    b, t = backbone(), task(150)
    rows = np.random.default_rng(1).permutation(150)
    def go(name, *requests):
        monkeypatch.setenv("UPGRADEABILITY_CACHE", str(tmp_path/name))
        for r in requests: f = extract(b, t, rows=r, batch_size=16, dtype=dtype)
        return f
    whole = go("a", rows)
    for name, requests in dict(b=[rows[:7], rows[5:60], rows], c=[rows[::-1], rows], d=[rows[:1], rows[40:41], rows], e=[rows[100:], rows[:50], rows]).items():
        f = go(name, *requests)
        assert np.array_equal(f.x, whole.x) and np.array_equal(f.source_probs, whole.source_probs), name
    alone = np.concatenate([go(f"alone{i}", rows[i:i + 1]).x for i in range(3)])
    assert np.array_equal(alone, whole.x[:3])

def test_values_of_the_real_network_do_not_depend_on_company(cache, monkeypatch):
    b, t = load_backbone("efficientnet_lite0", device="cpu"), load_task("digits")
    one, few = extract(b, t, rows=[5], batch_size=8, dtype="float32"), extract(b, t, rows=[9, 8, 7, 6, 5, 4, 3, 2, 1, 0], batch_size=8, dtype="float32")
    assert few.meta["computed"] == 9 and np.array_equal(extract(b, t, rows=[5], batch_size=8, dtype="float32").x, one.x)
    monkeypatch.setenv("UPGRADEABILITY_CACHE", str(cache.parent/"other"))
    again = extract(b, t, rows=[9, 8, 7, 6, 5, 4, 3, 2, 1, 0], batch_size=8, dtype="float32")
    assert again.meta["computed"] == 10 and np.array_equal(again.x, few.x) and np.array_equal(again.x[4], one.x[0])

def test_nested_subsets_compute_only_new_rows(cache):
    b, t = backbone(), task(400)
    computed = [extract(b, t.sample(n), batch_size=16).meta["computed"] for n in (8, 40, 40, 100, 300, None)]
    assert computed == [108, 32, 0, 60, 200, 0] and extract(b, t.sample(50, seed=1), batch_size=16).meta["computed"] == 0

def test_order_of_the_request_is_the_order_of_the_answer(cache):
    b, t = backbone(), task(60)
    f = extract(b, t, rows=np.arange(60), batch_size=8)
    g = extract(b, t, rows=np.arange(60)[::-3], batch_size=8)
    assert np.array_equal(g.x, f.x[::-3]) and np.array_equal(g.ids, np.arange(60)[::-3]) and g.meta["computed"] == 0

# ---------------------------------------------------------------- what the key is made of

def test_key_follows_contents(cache):
    b, t = backbone(), task(40)
    x = np.array(t.inputs.items); x[7, 3, 3, 0] ^= 1
    other = load_task((x, t.y))
    keys = {cache_key(backbone(s), u, batch_size=n, dtype=d) for s in (0, 1) for u in (t, other) for n in (8, 16) for d in ("float32", "bfloat16")}
    assert len(keys) == 16
    renamed = load_task((np.array(t.inputs.items), np.array(list("abcd"))[t.y]))
    assert cache_key(b, renamed) == cache_key(b, t) # labels are no part of it
    extract(b, t, batch_size=8)
    assert extract(b, renamed, batch_size=8).meta["computed"] == 0 and extract(b, other, batch_size=8).meta["computed"] == 40 and extract(backbone(1), t, batch_size=8).meta["computed"] == 40

def test_one_name_two_networks_two_features(cache, tmp_path):
    "The file of weights is replaced under its old name."
    from torchvision.models import resnet18
    t = task(10)
    def with_seed(s):
        torch.manual_seed(s); torch.save(resnet18(num_classes=3).state_dict(), tmp_path/"net.pth")
        b = load_backbone(f"file:{tmp_path/'net.pth'}:resnet18", preprocess=RESIZE, device="cpu")
        return b.spec, extract(b, t, batch_size=8)
    (name, one), (same, two) = with_seed(0), with_seed(1)
    assert name == same and two.meta["computed"] == 10 and not np.allclose(one.x, two.x) and with_seed(0)[1].meta["computed"] == 0

def test_dtype_is_resolved():
    b = backbone()
    assert resolve_dtype("auto", b) in ("float32", "bfloat16") and resolve_dtype("auto", load_backbone(nn.Linear(2, 2), device="cpu")) == "float32"
    with pytest.raises(ValueError, match="Unknown dtype 'float16'"): resolve_dtype("float16", b)

# ---------------------------------------------------------------- killed, damaged, shared

SLOW = """
import os, sys, time, numpy as np, torch
sys.path.insert(0, os.environ['HERE'])
import test_features as T
class Slow(torch.nn.Module):
    def __init__(self): super().__init__(); self.net = T.network()
    def forward(self, x): time.sleep(float(os.environ['PAUSE'])); return self.net(x)
f = T.extract(T.load_backbone(Slow(), preprocess=T.RESIZE, device='cpu'), T.task(600), rows=np.arange(600), batch_size=8)
np.save(os.environ['OUT'], np.hstack([f.x, f.source_probs])); print(f.meta['computed'])
"""

def job(folder, out, pause=0):
    env = dict(UPGRADEABILITY_CACHE=str(folder/"cache"), HERE=str(Path(__file__).parent), PAUSE=str(pause), OUT=str(folder/out), OMP_NUM_THREADS="1")
    return subprocess.Popen([sys.executable, "-c", SLOW], env={**os.environ, **env}, stdout=subprocess.PIPE, text=True)

def finish(process): out, _ = process.communicate(timeout=300); assert process.returncode == 0; return int(out.split()[-1])

@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert finish(job(folder, "x.npy")) == 600
    return np.load(folder/"x.npy")

def test_killed_half_way(tmp_path, undisturbed):
    process = job(tmp_path, "x.npy", pause=.05)
    while len(shards(tmp_path)) < 3:
        assert process.poll() is None, "finished before it could be killed"
        time.sleep(.01)
    os.kill(process.pid, signal.SIGKILL); process.wait()
    have = 64 * len(shards(tmp_path))
    assert 0 < have < 600 and not (tmp_path/"x.npy").exists()
    assert finish(job(tmp_path, "x.npy")) == 600 - have
    assert np.array_equal(np.load(tmp_path/"x.npy"), undisturbed)

def test_two_processes_fill_one_cache(tmp_path, undisturbed):
    jobs = [job(tmp_path, f"{i}.npy", pause=.02) for i in range(2)]
    assert all(finish(j) <= 600 for j in jobs)
    assert all(np.array_equal(np.load(tmp_path/f"{i}.npy"), undisturbed) for i in range(2))
    assert not [p for p in (tmp_path/"cache").rglob(".*")] # no temporary file is left

@pytest.mark.parametrize("where", ["header", "rows", "features", "end", "cut", "empty"])
def test_damaged_shard_is_found_and_computed_again(where, cache):
    b, t = backbone(), task(200)
    rows = np.arange(200)
    whole = extract(b, t, rows=rows, batch_size=8)
    x, victim = np.array(whole.x), shards(cache)[1]
    data = bytearray(victim.read_bytes())
    header = 8 + int.from_bytes(data[:8], "little")
    def find(name): import json; return header + json.loads(data[8:header])[name]["data_offsets"][0]
    if where in ("cut", "empty"): victim.write_bytes(data[:len(data) // 2] if where == "cut" else b"")
    else: data[dict(header=20, rows=find("rows") + 8, features=find("x") + 100, end=len(data) - 1)[where]] ^= 1; victim.write_bytes(data)
    with pytest.warns(UserWarning, match=f"cached features in {victim.name} are damaged"): f = extract(b, t, rows=rows, batch_size=8)
    assert 0 < f.meta["computed"] <= 64 and np.array_equal(f.x, x) and extract(b, t, rows=rows, batch_size=8).meta["computed"] == 0

def test_every_single_byte_matters(cache):
    "Whichever byte of a small shard is flipped, the features come out right."
    b, t = backbone(), task(40)
    x, (victim,) = np.array(extract(b, t, rows=[0, 1], batch_size=2).x), shards(cache)
    data = victim.read_bytes()
    for i in np.linspace(0, len(data) - 1, 25).astype(int):
        victim.write_bytes(data[:i] + bytes([data[i] ^ 16]) + data[i + 1:])
        with warnings.catch_warnings(): warnings.simplefilter("ignore"); f = extract(b, t, rows=[0, 1], batch_size=2)
        assert f.meta["computed"] == 2 and np.array_equal(f.x, x), i

def test_shards_that_vanish(cache):
    b, t = backbone(), task(100)
    extract(b, t, batch_size=8)
    for s in shards(cache)[::2]: s.unlink()
    assert 0 < extract(b, t, batch_size=8).meta["computed"] < 100

def test_no_room_for_features(cache, monkeypatch):
    import resource
    b, t = backbone(), task(100)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(OSError, match="Free some space"): extract(b, t, batch_size=8)
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [p for p in cache.rglob("*") if p.is_file()] == []
    assert extract(b, t, batch_size=8).meta["computed"] == 100

def test_no_room_to_gather(cache):
    "The shards fit, the table of all rows does not: an error, and no dead process."
    import resource
    b, t = backbone(), task(300)
    extract(b, t, batch_size=8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OSError, match="temporarily need .* MB. Free some space or set UPGRADEABILITY_CACHE"): extract(b, t, batch_size=8)
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, before)

def test_threads_share_a_cache(cache):
    from concurrent.futures import ThreadPoolExecutor
    t, several = task(120), [backbone() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool: found = list(pool.map(lambda b: np.array(extract(b, t, batch_size=8).x), several))
    assert len({b.fingerprint for b in several}) == 1 and all(np.array_equal(found[0], o) for o in found)

# ---------------------------------------------------------------- numeric types

def test_bfloat16_and_float32_agree_within_the_interval():
    "Linear probes on both kinds of features of the real network, on one test set."
    from upgradeability.comparisons import gain
    from upgradeability.intervals import score
    from upgradeability.protocols import linear_probe
    b, t = load_backbone("efficientnet_lite0", device="cpu"), load_task("digits", n_train=80)
    keep = t.splits["test"][:100]
    from dataclasses import replace
    t = replace(t, splits={**t.splits, "test": keep})
    found = {d: linear_probe(b, t, lambda k: extract(k, t, dtype=d))["test"] for d in ("float32", "bfloat16")}
    difference = gain(found["bfloat16"], found["float32"], "accuracy")
    assert difference.low <= 0 <= difference.high and abs(difference.value) < .05 and score(found["float32"], "accuracy").value > .6

# ---------------------------------------------------------------- memory

MEMORY = """
import sys, numpy as np, torch
from upgradeability.media import Inputs
from upgradeability.tasks import make_task
from upgradeability.models import load_backbone
from upgradeability.features import extract
n = int(sys.argv[1])
def anonymous(): return int(next(l for l in open('/proc/self/status') if l.startswith('RssAnon')).split()[1]) / 1024
class Rows:
    def __len__(self): return n
    def __getitem__(self, i): return i
from PIL import Image
inputs = Inputs(Rows(), lambda i: Image.new('RGB', (4, 4), (i % 256, i // 256 % 256, 0)), np.arange(n, dtype=np.uint64))
task = make_task('made', inputs, np.arange(n) % 2, {})
wide = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 4000), torch.nn.Tanh(), torch.nn.Linear(4000, 2))
from torchvision.transforms import ToTensor
backbone = load_backbone(wide, preprocess=ToTensor(), device='cpu')
torch.set_num_threads(1)
extract(backbone, task, rows=np.arange(1024), batch_size=64)
before = anonymous()
f = extract(backbone, task, batch_size=64)
print(anonymous() - before, f.x.nbytes / 2**20)
"""

def test_memory_does_not_grow_with_the_data(tmp_path):
    if not Path("/proc/self/status").exists(): pytest.skip("needs Linux's /proc to measure memory")
    grown = {}
    for n in (2_000, 8_000):
        done = subprocess.run([sys.executable, "-c", MEMORY, str(n)], capture_output=True, text=True, check=True, env={**os.environ, "UPGRADEABILITY_CACHE": str(tmp_path/str(n)), "MALLOC_ARENA_MAX": "2"})
        grown[n], size = map(float, done.stdout.split())
    assert size > 120 and grown[8_000] < grown[2_000] + 40, (grown, size)

# ---------------------------------------------------------------- bad examples

def test_features_that_are_no_numbers(cache):
    x = np.random.default_rng(0).normal(size=(40, 6)).astype("f4"); x[17, 2] = np.nan; x[23, 0] = np.inf
    t = load_task((x, np.arange(40) % 2))
    b = load_backbone(nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 2)), device="cpu")
    with pytest.raises(ValueError, match="features of example 17 are NaN or infinite"): extract(b, t, rows=np.arange(30), batch_size=20)
    assert shards(cache) == []
    assert np.isfinite(extract(b, t, rows=np.r_[:17, 18:23], batch_size=20).x).all()

def test_pictures_of_different_shapes(cache, tmp_path):
    for i in range(12):
        d = tmp_path/"pets"/"ab"[i % 2]; d.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + (i == 5), 20), (i * 20, 0, 0)).save(d/f"{i}.png")
    t = load_task(f"folder:{tmp_path/'pets'}")
    b = load_backbone(network(), preprocess=T.ToTensor(), device="cpu")
    with pytest.raises(ValueError, match=r"different shapes, \(3, 20, 20\) for example 0 .*0.png.* and \(3, 20, 21\) for example \d+ .*5.png.*crop or resize"): extract(b, t, rows=np.arange(12), batch_size=12)

def test_picture_that_vanishes(cache, tmp_path):
    for i in range(12):
        d = tmp_path/"pets"/"ab"[i % 2]; d.mkdir(parents=True, exist_ok=True); Image.new("RGB", (20, 20), (i * 20, 0, 0)).save(d/f"{i}.png")
    t = load_task(f"folder:{tmp_path/'pets'}")
    (tmp_path/"pets"/"a"/"4.png").unlink()
    with pytest.raises(OSError, match=r"example \d+ .*4.png.* cannot be read"): extract(backbone(), t, batch_size=4)

def test_preprocessing_that_fails_on_one_picture(cache):
    def picky(p):
        if p.size == (4, 4) and p.getpixel((0, 0))[0] == t.inputs[9][0, 0]: raise RuntimeError("not this one")
        return RESIZE(p)
    t = load_task((np.arange(20 * 16, dtype=np.uint16).reshape(20, 4, 4).astype(np.uint8), np.arange(20) % 2))
    with pytest.raises(ValueError, match="example 9 cannot be read or preprocessed .RuntimeError: not this one"): extract(load_backbone(network(), preprocess=picky, device="cpu"), t, rows=[8, 9], batch_size=4)

@pytest.mark.parametrize("rows, words", [([], "No rows"), ([0, 40], "Row 40 does not exist.*40 examples"), ([-1], "Row -1"), ([3, 4, 3], "Row 3 of .* twice")])
def test_bad_rows(rows, words, cache):
    with pytest.raises(ValueError, match=words): extract(backbone(), task(40), rows=rows)

def test_pictures_for_a_network_without_preprocessing(cache, tmp_path):
    for i in range(8):
        d = tmp_path/"pets"/"ab"[i % 2]; d.mkdir(parents=True, exist_ok=True); Image.new("RGB", (20, 20)).save(d/f"{i}.png")
    with pytest.raises(ValueError, match="has no preprocessing and the examples of .* are pictures: give preprocess="): extract(load_backbone(network(), device="cpu"), load_task(f"folder:{tmp_path/'pets'}"))

def test_arrays_that_are_no_pictures_for_a_network_that_wants_some(cache):
    t = load_task((np.zeros((20, 3, 8, 8), np.uint8) + np.arange(20, dtype=np.uint8)[:, None, None, None], np.arange(20) % 2))
    with pytest.raises(ValueError, match="channels come first"): extract(backbone(), t)

def test_one_example_is_enough_to_find_the_features(cache):
    t = load_task((np.random.default_rng(0).normal(size=(20, 6)).astype("f4"), np.arange(20) % 2))
    assert extract(load_backbone(nn.Sequential(nn.Linear(6, 3), nn.Linear(3, 2)), device="cpu"), t, rows=[3]).x.shape == (1, 3)

# ---------------------------------------------------------------- batches

def test_batches_are_filled_and_in_order():
    inputs = model_inputs(backbone(), task(50))
    found = [(r.tolist(), b.shape[0]) for r, b in batches(inputs, np.arange(50)[::-1], 16)]
    assert [n for _, n in found] == [16] * 4 and sum((r for r, _ in found), []) == list(range(49, -1, -1))
    last = list(batches(inputs, np.arange(50), 16))[-1][1]
    assert torch.equal(last[1], last[2]) and list(batches(inputs, np.arange(50), 16, fill=False))[-1][1].shape[0] == 2

def test_reading_stops_with_its_reader():
    "Where the network fails, no thread goes on reading a million pictures."
    read = []
    inputs = model_inputs(backbone(), task(200))
    from dataclasses import replace
    counted = replace(inputs, read=lambda r: read.append(1) or inputs.read(r))
    it = batches(counted, np.arange(200), 8)
    next(it); it.close()
    n = len(read); time.sleep(.1)
    assert len(read) == n < 200

# ---------------------------------------------------------------- fewer steps, the same bits

@pytest.mark.parametrize("name", ["bundled:efficientnet_lite0", "torchvision:resnet18?random", "timm:test_vit?random"])
def test_the_usual_preprocessing_in_fewer_steps_gives_the_same_bits(name):
    from upgradeability.preprocessing import quick
    whole = load_backbone(name, device="cpu").preprocess
    fast = quick(whole)
    assert fast is not whole and quick(whole) is fast
    rng = np.random.default_rng(0)
    for width, height in [(32, 32), (500, 375), (375, 500), (17, 300), (1, 1)]:
        picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        assert torch.equal(fast(picture), whole(picture)), (width, height)

class Noisy(T.Normalize):
    def forward(self, x): return super().forward(x) + 1e-6

@pytest.mark.parametrize("steps", [[T.ToTensor()], [T.ToTensor(), T.Normalize([.5], [.5])], [T.ToTensor(), Noisy([.5] * 3, [.5] * 3)],
                                   [T.Grayscale(), T.ToTensor(), T.Normalize([.5], [.5])], [T.ToTensor(), T.Normalize([.5] * 3, [.5] * 3), T.CenterCrop(8)]])
def test_another_preprocessing_stays_as_it_is(steps):
    from upgradeability.preprocessing import quick
    other = T.Compose(steps)
    assert quick(other) is other or torch.equal(quick(other)(Image.new("RGB", (9, 7), "red")), other(Image.new("RGB", (9, 7), "red")))

# ---------------------------------------------------------------- a device that is too small

class Small(nn.Sequential):
    "A network on a device with memory for a few examples."
    room = 5

    def forward(self, x):
        if len(x) > self.room: raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(x)

def test_half_a_batch_where_memory_is_too_small(cache):
    torch.manual_seed(0)
    b = load_backbone(Small(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), device="cpu")
    t = load_task((np.random.default_rng(0).normal(size=(40, 6)).astype("float32"), np.arange(40) % 2))
    with pytest.warns(UserWarning, match="memory is too small") as said: f = extract(b, t, batch_size=16)
    assert [str(w.message).split()[-1] for w in said] == ["8.", "4."]
    assert f.meta["batch_size"] == 4 and "of 4 examples instead of 16" in str(f.meta["reading"])
    g = extract(b, t, batch_size=4)
    assert g.meta["computed"] == 0 and g.meta["key"] == f.meta["key"] and np.array_equal(f.x, g.x)

def test_a_device_without_room_for_one_example_says_so():
    from upgradeability.features import _half
    with pytest.raises(torch.OutOfMemoryError, match="no room"): _half(1, torch.OutOfMemoryError("no room"))

def test_rows_are_found_as_by_a_dictionary():
    "Positions of rows by sorting, against a loop."
    from upgradeability.features import _places
    rng = np.random.default_rng(0)
    rows, known = rng.choice(100, 40, replace=False), rng.choice(120, 30, replace=False)
    place = {int(row): i for i, row in enumerate(rows)}
    assert _places(known, rows, np.argsort(rows)).tolist() == [place.get(int(row), -1) for row in known]
    assert _places(known[:0], rows, np.argsort(rows)).tolist() == []
