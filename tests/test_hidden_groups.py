"Groups that nobody declared are found, independent data raise no alarm; the simulations of coverage can be run."
import re, subprocess, sys, uuid
from pathlib import Path

import numpy as np, pandas as pd, pytest
from PIL import Image

from upgradeability.checks import check_task, group_by_name, order_of_rows
from upgradeability.datasets import load_task
from upgradeability.media import Inputs, digest
from upgradeability.tasks import make_task

GROUP_CHECKS = {"repeats", "name_groups", "sequences"}

def found_in(task, **more): return {check: row for check, row in check_task(task, **more).set_index("check").iterrows() if check in GROUP_CHECKS}

def of_texts(texts, y, **splits): return make_task("texts", Inputs(texts, str, np.array([digest(t.encode()) for t in texts], np.uint64)), y, splits, medium="text")

# ---- (a) repeats

def repeated(n, times, seed, shape=(8, 8)):
    x = np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)
    return np.repeat(x, times, axis=0), np.repeat(np.arange(n) % 2, times)

@pytest.mark.parametrize("shape", [(8, 8), (5,)], ids=["pictures", "rows of numbers"])
def test_ten_copies_of_each_row(shape):
    x, y = repeated(60, 10, 0, shape)
    found = found_in(load_task((x[:400], y[:400], x[400:], y[400:])))
    assert found["repeats"].n == 9 * 60 and found["repeats"].severity == "warning"
    assert "180 of 200 (90.0%) in test" in found["repeats"].message and "360 of 400 (90.0%) in train" in found["repeats"].message

def test_copies_of_texts_that_differ_in_punctuation():
    words = np.array("card lost top up failed pay fee cash bank transfer limit".split())
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, 8)) + f" {i}" for i in range(40)]
    copies = [t.upper() + "!" for t in texts]
    task = of_texts(texts + copies, np.arange(80) % 2, test=[*range(20), *range(40, 60)])
    found = found_in(task)["repeats"]
    assert found.n == 40 and "20 of 40 (50.0%) in test" in found.message

def test_copies_of_pictures_saved_anew():
    rng, y = np.random.default_rng(0), np.arange(120) % 2
    small = rng.integers(0, 256, (120, 4, 4, 3), dtype=np.uint8)
    x = np.stack([np.asarray(Image.fromarray(o).resize((48, 48), Image.BICUBIC)) for o in small])
    again = np.clip(x[60:100].astype(int) + rng.integers(-3, 4, (40, 48, 48, 3)), 0, 255).astype(np.uint8)
    found = found_in(load_task((x[:60], y[:60], np.r_[x[60:], again], np.r_[y[60:], y[60:100]])))
    assert 36 <= found["repeats"].n <= 40 and set(found["repeats"]["rows"]) <= set(range(60, 160))

@pytest.mark.parametrize("seed", range(3))
def test_few_possible_rows_repeat_by_nature(seed):
    rng = np.random.default_rng(seed)
    assert found_in(load_task((rng.integers(0, 3, (300, 4)).astype(np.float32), rng.integers(0, 2, 300)))) == {}

# ---- (b) names of files

def paths(form, n=240, classes=2, each=10):
    "n names by a form; i counts files, g groups, k files of a group, c is the class."
    y = np.arange(n) // each % classes
    return [Path("data/train", f"class{c}", form.format(i=i, g=i // each, k=i % each, c=f"class{c}")) for i, c in enumerate(y)], y

@pytest.mark.parametrize("form, rule", [
    ("patient{g:02d}_{k:02d}.png", r"([^/_]+)_[^/]*$"),
    ("s{g}-frame{k:04d}.jpg", r"([^/-]+)-[^/]*$"),
    ("patient{g:02d}_left_{k}.png", r"([^/_]+)_[^/]*$"),
    ("study_patient{g:02d}_{k}.png", r"([^/]+)_[^/]*$"),
    ("video{g:03d}frame{k:03d}.jpg", r"(?:^|/)([^/\d]*\d+)[^/\d]+\d+\.\w+$"),
    ("patient{g:02d}/{i}.png", "level:-1")])
def test_names_that_tell_of_groups(form, rule):
    files, y = paths(form)
    found, names = group_by_name(files, y)
    assert found == rule and len(set(names)) == 24
    assert (pd.factorize(names)[0] == np.arange(240) // 10).all()

@pytest.mark.parametrize("form", [
    "{i:04d}.jpg", "{c}_{i:05d}.jpg", "IMG_{i}.jpg", "image-{i}.png", "frame{k:03d}_{g}.png", "{i:08x}-{i:04x}.png", "shard{g}_{k}.jpg", "20{g:02d}_{i:06d}.jpg",
    "n0{c}_{i}.JPEG", "picture {i}.png", "{i}_{k}.png"])
def test_names_that_tell_nothing(form): assert group_by_name(*paths(form)) is None

@pytest.mark.parametrize("length", [4, 8, 32])
def test_random_names_tell_nothing(length):
    rng = np.random.default_rng(0)
    names = [str(uuid.UUID(bytes=rng.bytes(16)))[:length] for _ in range(2000)]
    assert group_by_name([Path("data/class0")/f"{name}.jpg" for name in names], np.arange(2000) % 2) is None

def test_one_file_without_a_group_is_no_rule():
    files, y = paths("patient{g:02d}_{k:02d}.png")
    assert group_by_name([*files[:-1], Path("data/train/class1/readme.png")], y) is None

def test_names_in_a_folder_of_pictures(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(120):
        path = tmp_path/f"class{i // 10 % 2}"/f"patient{i // 10:02d}_{i % 10}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    found = found_in(load_task(f"folder:{tmp_path}"))["name_groups"]
    assert found.severity == "warning" and "12 beginnings of file names" in found.message and re.search("1[012] of these are in train and in test", found.message)
    assert "?group=([^/_]+)_[^/]*$ (" in found.message

# ---- (c) sequences

def independent(seed, n=600, d=12, signal=.5):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    return rng.normal(size=(n, d)) + signal * (2 * y[:, None] - 1), y

def videos(seed, n=40, frames=20, d=12, step=.25):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 1, d)) + step * rng.normal(size=(n, frames, d)).cumsum(1)
    return x.reshape(-1, d), np.repeat(np.arange(n) % 2, frames)

def patients(seed, n=40, records=20, d=12, spread=.4):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 1, d)) + spread * rng.normal(size=(n, records, d))
    return x.reshape(-1, d), np.repeat(rng.permutation(n) % 2, records)

def as_task(x, y): return load_task((x.astype(np.float32) * 100, y))

@pytest.mark.parametrize("seed", range(5))
def test_independent_rows_are_no_sequence(seed): assert found_in(as_task(*independent(seed))) == {}

@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("make", [videos, patients])
def test_frames_and_patients_are_found(make, seed):
    found = found_in(as_task(*make(seed)))["sequences"]
    assert found.severity == "warning" and found.n >= 300 and "groups= (arrays)" in found.message

@pytest.mark.parametrize("seed", range(3))
def test_a_shuffled_order_tells_nothing(seed):
    x, y = videos(seed)
    order = np.random.default_rng(seed).permutation(len(y))
    assert found_in(as_task(x[order], y[order])) == {}

def test_rows_sorted_by_class_or_by_one_column_are_no_sequence():
    x, y = independent(0)
    for key in (y, x[:, 0]):
        order = np.argsort(key, kind="stable")
        assert found_in(as_task(x[order], y[order])) == {}

@pytest.mark.parametrize("seed", range(3))
def test_the_share_in_shuffled_order_is_what_the_formula_says(seed):
    x, y = independent(seed, 2000)
    found = order_of_rows(x, y, np.arange(2000))
    expected = 2 * 10 / 999 # ten rows before and after, in a class of a thousand
    assert abs(found.share - expected) < .012 and abs(found.shuffled - expected) < .012 and abs(found.ratio - 1) < .05

def test_features_are_looked_at_where_given():
    x, y = videos(0)
    texts = [f"text number {i} of {len(y)}" for i in range(len(y))]
    assert found_in(of_texts(texts, y)) == {}
    assert "sequences" in found_in(of_texts(texts, y), features=x)
    assert "sequences" not in found_in(of_texts(texts, y), features=np.random.default_rng(0).permutation(x))

def test_frames_as_pictures():
    rng = np.random.default_rng(0)
    base = np.repeat(rng.integers(0, 256, (24, 6, 6, 3)), 12, axis=0)
    x = np.clip(base + rng.integers(-40, 41, (288, 6, 6, 3)), 0, 255).astype(np.uint8).repeat(6, 1).repeat(6, 2)
    assert "sequences" in found_in(load_task((x, np.repeat(np.arange(24) % 2, 12))))

# ---- no false alarm

def test_no_alarm_on_digits(): assert found_in(load_task("digits")) == {}

def test_no_alarm_on_docstrings(): assert found_in(load_task("docstrings")) == {}

@pytest.mark.parametrize("spec", ["folder:{}/cifar10-jpeg", "csv:{}/banking77/train.csv", "conll:{}/wnut17"])
def test_no_alarm_on_known_sets(spec, shared_data): assert found_in(load_task(spec.format(shared_data))) == {}

@pytest.mark.parametrize("make", [videos, patients])
def test_declared_groups_are_not_searched(make):
    x, y = make(0)
    task = as_task(x, y)
    object.__setattr__(task, "group", np.arange(len(y)) // 20)
    assert found_in(task) == {}

def test_every_finding_is_made_of_plain_sentences():
    x, y = videos(0)
    message = found_in(as_task(x, y))["sequences"].message
    assert message.endswith(".") and "nan" not in message and "inf " not in message

# ---- the simulations

def test_coverage_of_accuracy_is_measured(root, tmp_path):
    "The script runs and stores its table."
    out = tmp_path/"coverage.csv"
    done = subprocess.run([sys.executable, root/"benchmarks"/"coverage.py", "--runs", "5", "--cells", "^score accuracy", "--out", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(out)
    assert {"cell", "question", "n", "truth", "share", "mc_error", "width", "bound", "inside"} <= set(table.columns) and len(table) == 9
    assert table.share.between(0, 1).all() and table.truth.isin([.5, .9, .99]).all() and (table.runs == 5).all()
