"Tasks: splits that keep their promises, labels, pictures of every kind, and data sets as torchvision reads them."
import gzip, io, shutil, socket, struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upgradeability.datasets import load_task
from upgradeability.media import array_inputs, array_pictures, to_rgb
from upgradeability.tasks import encode_labels, leaked, make_task, nested_order, split_valid

def arrays(counts, seed=0, size=4):
    "(X, y) with so many examples per class, shuffled."
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    return np.random.default_rng(seed + 1).integers(0, 256, (len(y), size, size), dtype=np.uint8), y

def learned(task): return np.r_[task.splits["train"], task.splits["valid"]]
def shares(y, n): return np.bincount(y, minlength=n) / len(y)

# ---------------------------------------------------------------- splits

@pytest.mark.parametrize("counts", [(2, 2), (4, 4, 4), (5, 5), (100, 3), (7, 300, 50, 12), (1000, 10)], ids=str)
@pytest.mark.parametrize("seed", [0, 7])
def test_split_invariants(counts, seed):
    x, y = arrays(counts)
    task = load_task((x, y), split_seed=seed)
    rows = np.concatenate(list(task.splits.values()))
    assert sorted(rows) == list(range(len(y))) # disjoint and complete
    assert list(task.splits) == ["train", "valid", "test"] and all(v.dtype == np.int64 for v in task.splits.values())
    for name in ("train", "test"): assert set(task.y[task.splits[name]]) == set(range(len(counts)))
    expected = np.maximum(1, np.round(np.array(counts) * .25))
    assert (np.bincount(task.y[task.splits["test"]]) == expected).all()
    left = np.array(counts) - expected
    assert (np.bincount(task.y[task.splits["valid"]], minlength=len(counts)) == (left // 5 if left.min() >= 5 else 0 * left)).all()

def test_splits_are_deterministic_and_seeds_differ():
    data = arrays((60, 40, 30))
    a, b, c = load_task(data), load_task(data), load_task(data, split_seed=1)
    assert all(np.array_equal(a.splits[k], b.splits[k]) for k in a.splits) and a.fingerprint == b.fingerprint
    assert set(a.splits["test"]) != set(c.splits["test"]) and a.fingerprint != c.fingerprint

@pytest.mark.parametrize("seed", range(3))
def test_samples_are_nested_and_stratified(seed):
    task = load_task(arrays((300, 100, 40, 8)))
    assert task.n_train == sum(np.array((300, 100, 40, 8)) - (75, 25, 10, 2))
    sizes = [4, 5, 17, 60, 150, task.n_train]
    samples = [task.sample(n, seed) for n in sizes]
    for n, s in zip(sizes, samples):
        assert s.n_train == n and np.array_equal(s.splits["test"], task.splits["test"]) and set(s.y[learned(s)]) == set(range(4))
        assert len(set(learned(s))) == n and not set(learned(s)) & set(s.splits["test"])
    assert samples[-1] is task
    for small, large in zip(samples, samples[1:]): assert set(learned(small)) < set(learned(large))
    for small, large in zip(samples, samples[1:-1]):
        if len(small.splits["valid"]): assert set(small.splits["valid"]) <= set(large.splits["valid"]) and set(small.splits["train"]) <= set(large.splits["train"])
    for s in samples[3:]: assert abs(shares(s.y[learned(s)], 4) - shares(task.y[learned(task)], 4)).max() <= 1.5 / s.n_train + .01
    assert set(learned(samples[-1])) == set(learned(task)) # the whole pool
    assert set(learned(task.sample(60, seed))) != set(learned(task.sample(60, seed + 1)))

def test_nested_order_is_a_permutation_with_every_prefix_in_proportion():
    y = np.repeat([0, 1, 2], [500, 250, 50])
    order = nested_order(np.random.default_rng(0).permutation(y), 3)
    assert sorted(order) == list(range(800))
    for n in (3, 10, 100, 400, 799): assert abs(np.bincount(y[nested_order(y)[:n]], minlength=3) - n * np.array([.625, .3125, .0625])).max() < 2

def test_valid_is_a_fifth_of_each_class_or_none():
    for n in (5, 9, 10, 100):
        y = np.tile([0, 1], n)
        assert np.bincount(y[split_valid(y)]).tolist() == [n // 5, n // 5]
    assert not split_valid(np.r_[np.zeros(100, int), np.ones(4, int)]).any()

def official(valid=True):
    x, y = arrays((40, 40))
    splits = dict(train=np.arange(50), test=np.arange(60, 80)) | (dict(valid=np.arange(50, 60)) if valid else {})
    return make_task("t", array_pictures(x), y, splits)

def test_official_valid_counts_only_without_n_train():
    task = official()
    assert task.origin == dict(train="official", valid="official", test="official") and task.n_train == 60
    small = task.sample(30)
    assert small.n_train == 30 and small.origin["valid"] == "drawn" and not set(learned(small)) & set(task.splits["valid"])
    assert task.sample(50).n_train == 50
    for n in (51, 59):
        with pytest.raises(ValueError, match=f"n_train={n} is more than the 50 .* and fewer than the 60 of train and its official valid"): task.sample(n)
    with pytest.raises(ValueError, match="n_train=61 is more than the 60"): task.sample(61)
    assert task.sample(None) is task

@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("task", [official(), official(valid=False), load_task(arrays((3, 3))), load_task(arrays((40, 8)))], ids=["official valid", "drawn valid", "no valid", "drawn"])
def test_all_labels_are_the_task_as_it_is(task, seed):
    "A number of labels never means other rows than `None` does, whatever the seed."
    for n in (task.n_train, float(task.n_train), np.int64(task.n_train)): assert task.sample(n, seed) is task
    small = task.sample(4, seed)
    assert small.n_train == 4 and small.sample(small.n_train, seed) is small
    with pytest.raises(ValueError, match="no whole number"): task.sample(True)

def test_rows_that_no_split_names():
    task = official(valid=False)
    assert set(np.concatenate(list(task.splits.values()))) == {*range(50), *range(60, 80)}
    x, y = arrays((20, 20))
    assert set(learned(make_task("t", array_pictures(x), y, dict(test=range(10))))) == set(range(10, 40))

@pytest.mark.parametrize("splits, words", [(dict(train=[0, 1, 2], test=[2, 3]), "Row 2 is named twice"), (dict(train=[0, 1], test=[40]), "names row 40 of 40"), (dict(train=[0], test=[-1]), "names row -1"),
    (dict(train=[0, 1], tests=[2]), "Unknown split 'tests'. Did you mean 'test'"), (dict(train=list(range(30)), test=[]), "test split of 't' is empty"), (dict(train=[], test=[0, 1]), "train split of 't' is empty")], ids=str)
def test_impossible_splits(splits, words):
    x, y = arrays((20, 20))
    with pytest.raises(ValueError, match=words): make_task("t", array_pictures(x), y, splits)

def test_class_missing_from_train_is_an_error_and_from_test_a_warning():
    x, y = arrays((20, 20, 20))
    only = lambda *classes: (x[np.isin(y, classes)], y[np.isin(y, classes)])
    with pytest.raises(ValueError, match="class '2' is in test but not in train"): load_task((*only(0, 1), x, y))
    with pytest.warns(UserWarning, match="class '2' is in train but not in test"): task = load_task((x, y, *only(0, 1)))
    assert task.classes == ("0", "1", "2")
    with pytest.raises(ValueError, match="one class only, '0'"): load_task((*only(0), x, y))

def test_official_valid_holds_a_class_that_train_lacks():
    x, y = np.arange(40 * 4, dtype=np.uint8).reshape(40, 2, 2), np.r_[np.zeros(10), np.ones(10), np.full(5, 2), [0, 1, 2] * 5].astype(int)
    task = make_task("t", array_pictures(x), y, dict(train=range(20), valid=range(20, 25), test=range(25, 40)))
    with pytest.raises(ValueError, match="class '2' is in test but not in train"): task.sample(10)

def test_fingerprint_of_a_task():
    x, y = arrays((20, 20))
    same, seen = load_task((x, y)).fingerprint, set()
    x2 = x.copy(); x2[3, 0, 0] ^= 1
    for other in [load_task((x2, y)), load_task((x, 1 - y)), load_task((x, y), split_seed=1), load_task((x, np.array(["a", "b"])[y])), load_task((x[:, :, ::-1], y))]: seen.add(other.fingerprint)
    assert len(seen | {same}) == 6 and load_task((x, y)).fingerprint == same

# ---------------------------------------------------------------- labels

@pytest.mark.parametrize("labels, codes, classes", [
    ([2, 10, 2], [0, 1, 0], ("2", "10")), (["b", "a"], [1, 0], ("a", "b")), (np.array([True, False]), [1, 0], ("False", "True")), (np.array([[3], [1]]), [1, 0], ("1", "3")),
    (np.array(["x", "y"], object), [0, 1], ("x", "y")), (np.array([-1, 1], "i1"), [0, 1], ("-1", "1"))], ids=str)
def test_labels(labels, codes, classes):
    found, names = encode_labels(labels)
    assert found.tolist() == codes and names == classes and found.dtype == np.int64

@pytest.mark.parametrize("labels, words", [
    ([0., 1.], "floats.*use y.astype"), ([.5, 1], "floats"), (np.array([1.5, 2.], object), "floats"), (["a", None], "1 labels are missing, the first at rows \\[1\\]"), ([0, np.nan, 1], "labels are missing.*\\[1\\]"),
    ([1, 1, 1], "Only one class, '1'"), ([], "no labels"), (["a", 1], "mix text and numbers"), (np.eye(3), r"shape \(3, 3\).*argmax")], ids=str)
def test_bad_labels(labels, words):
    with pytest.raises(ValueError, match=words): encode_labels(labels)

def test_labels_from_pandas():
    import pandas as pd
    assert encode_labels(pd.Series(["b", "a"], index=[7, 7]))[0].tolist() == [1, 0]
    assert encode_labels(pd.Categorical(["b", "a"]))[0].tolist() == [1, 0]
    with pytest.raises(ValueError, match="missing"): encode_labels(pd.array([1, None], "Int64"))

# ---------------------------------------------------------------- how many labels

@pytest.mark.parametrize("n, words", [(10_000, "n_train=10000 is more than the 1347"), (9, "n_train=9 is too small.*at least 10 labels"), (0, "n_train=0 is too small"), (-5, "n_train=-5 is too small"), (10.5, "no whole number"), (True, "no whole number")])
def test_bad_n_train(n, words):
    with pytest.raises(ValueError, match=words): load_task("digits", n_train=n)

def test_single_example_of_a_class():
    x, y = arrays((20, 1))
    with pytest.raises(ValueError, match="class '1' has a single example"): load_task((x, y))

# ---------------------------------------------------------------- pictures

def saved(picture, fmt, **options):
    out = io.BytesIO()
    picture.save(out, fmt, **options)
    return Image.open(io.BytesIO(out.getvalue()))

GREY16 = Image.fromarray(np.array([[0, 257, 32896, 65535]], np.uint16))

def palette_with_hole():
    picture = Image.new("P", (2, 1)); picture.putpalette([255, 0, 0, 0, 0, 255]); picture.putpixel((1, 0), 1)
    return saved(picture, "PNG", transparency=0)

def keyed_rgb():
    picture = Image.new("RGB", (2, 1), (0, 0, 255)); picture.putpixel((0, 0), (1, 2, 3))
    return saved(picture, "PNG", transparency=(1, 2, 3))

@pytest.mark.parametrize("picture, pixels", [
    (saved(GREY16, "PNG"), [(v, v, v) for v in (0, 1, 128, 255)]), (saved(GREY16, "TIFF"), [(v, v, v) for v in (0, 1, 128, 255)]),
    (Image.fromarray(np.array([[-5, 70_000]], np.int32)), [(0, 0, 0), (255, 255, 255)]),
    (palette_with_hole(), [(255, 255, 255), (0, 0, 255)]), (keyed_rgb(), [(255, 255, 255), (0, 0, 255)]),
    (saved(Image.new("LA", (1, 1), (0, 0)), "PNG"), [(255, 255, 255)]), (saved(Image.new("1", (1, 1), 1), "PNG"), [(255, 255, 255)]), (saved(Image.new("L", (1, 1), 7), "PNG"), [(7, 7, 7)]),
    (saved(Image.new("CMYK", (1, 1), (255, 0, 0, 0)), "TIFF"), [(0, 255, 255)])], ids=["16-bit png", "16-bit tiff", "32-bit", "palette", "keyed", "grey alpha", "1-bit", "grey", "cmyk"])
def test_pictures_of_every_mode(picture, pixels):
    rgb = to_rgb(picture)
    assert rgb.mode == "RGB" and [rgb.getpixel((i, 0)) for i in range(len(pixels))] == pixels

def test_cmyk_jpeg():
    rgb = to_rgb(saved(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=95))
    assert np.abs(np.array(rgb).astype(int) - [0, 255, 255]).max() < 12

@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotation_by_the_camera(orientation):
    "What a camera stores for each orientation comes out upright."
    upright = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40)
    back = {1: None, 2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM, 5: Image.TRANSPOSE, 6: Image.ROTATE_90, 7: Image.TRANSVERSE, 8: Image.ROTATE_270}[orientation]
    stored = upright if back is None else upright.transpose(back)
    exif = Image.Exif(); exif[0x0112] = orientation
    assert np.array_equal(np.array(to_rgb(saved(stored, "PNG", exif=exif)))[..., 0], np.array(upright))

def test_float_pixels_are_refused():
    with pytest.raises(ValueError, match="floating-point pixels"): to_rgb(Image.new("F", (2, 2)))

@pytest.mark.parametrize("x, words", [
    (np.zeros((5, 3, 8, 8), "u1"), "channels come first: use x.transpose"), (np.zeros((5, 8, 8), "i4"), "astype\\('uint8'\\)"), (np.full((5, 8, 8), 255.), "0 to|255.*rescale"), (np.full((5, 8, 8), -.1), "rescale"),
    (np.full((5, 8, 8), np.nan), "NaN"), (np.zeros((5, 64), "u1"), "shape \\(n, h, w\\)"), (np.zeros((5, 8, 8, 2), "u1"), "shape \\(n, h, w\\)"), (np.zeros((5, 2, 8, 8, 3), "u1"), "shape \\(n, h, w\\)"),
    (np.zeros(5), "one numeric row"), (np.array([["a"]]), "one numeric row"), (np.zeros((0, 8, 8)), "one numeric row"), (np.array([[1], [2, 3]], object), "one numeric row")], ids=lambda o: str(getattr(o, "shape", ""))[:20])
def test_arrays_that_are_no_pictures(x, words):
    with pytest.raises(ValueError, match=words): array_pictures(x)

def test_array_pictures_keep_their_values():
    x = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), dtype=np.uint8)
    for given in (x, (x / 255).astype("f4"), x / 255.): assert all(np.array_equal(np.array(array_pictures(given)[i]), x[i]) for i in range(3))
    assert np.array_equal(np.array(array_pictures(x[..., :1])[1])[..., 2], x[1, ..., 0]) and np.array_equal(np.array(array_pictures(x[..., 0])[1])[..., 2], x[1, ..., 0])

def test_equal_bytes_in_another_form_are_other_examples():
    x = np.zeros((4, 8), np.uint8)
    forms = [x, x.reshape(4, 2, 4), x.reshape(4, 4, 2), x.view("f4"), x.view("i4"), x.view("f8")]
    assert len({array_inputs(o).fingerprint for o in forms}) == len(forms)
    assert array_inputs(x).fingerprint == array_inputs(np.asfortranarray(x)).fingerprint

# ---------------------------------------------------------------- folders

@pytest.fixture
def pets(tmp_path):
    "Two classes of ten small pictures."
    for i in range(20):
        d = tmp_path/"pets"/("cat", "dog")[i % 2]; d.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(d/f"{i:02}.jpg")
    return tmp_path/"pets"

def test_folder_in_either_form(pets, tmp_path):
    flat = load_task(f"folder:{pets}")
    assert flat.classes == ("cat", "dog") and flat.origin["test"] == "drawn" and flat.name == f"folder:{pets}"
    for name in ("train", "test", "val"): shutil.copytree(pets, tmp_path/"split"/name)
    split = load_task(f"folder:{tmp_path/'split'}")
    assert {k: len(v) for k, v in split.splits.items()} == dict(train=20, valid=20, test=20) and set(split.origin.values()) == {"official"}
    assert all("/test/" in split.inputs.items[i].as_posix() for i in split.splits["test"])
    assert len(leaked(split)) == 20
    shutil.rmtree(tmp_path/"split"/"test")
    assert load_task(f"folder:{tmp_path/'split'}").origin == dict(train="official", valid="drawn", test="official") # val is the test set
    shutil.rmtree(tmp_path/"split"/"val")
    assert load_task(f"folder:{tmp_path/'split'}").origin["test"] == "drawn"

def test_folder_is_read_in_one_order(pets, tmp_path):
    "The name of the folder and the order in which files were made do not matter."
    for f in sorted(pets.rglob("*.jpg"), reverse=True): (tmp_path/"copy"/f.parent.name).mkdir(parents=True, exist_ok=True); shutil.copy(f, tmp_path/"copy"/f.parent.name/f.name)
    a, b = load_task(f"folder:{pets}"), load_task(f"folder:{tmp_path/'copy'}")
    assert a.fingerprint == b.fingerprint and np.array_equal(a.splits["test"], b.splits["test"])

def test_odd_files_are_passed_over(pets):
    (pets/"cat"/".hidden.jpg").write_bytes(b"x"); (pets/"cat"/"notes.txt").write_text("x"); (pets/".git").mkdir(); (pets/"readme.md").write_text("x")
    (pets/"cat"/"deeper").mkdir(); Image.new("RGB", (5, 5)).save(pets/"cat"/"deeper"/"a.PNG")
    assert len(load_task(f"folder:{pets}").y) == 21

def test_all_unreadable_pictures_in_one_message(pets):
    whole = (pets/"cat"/"00.jpg").read_bytes()
    (pets/"cat"/"00.jpg").write_bytes(whole[:len(whole) // 2])       # a download that broke off
    (pets/"cat"/"02.jpg").write_bytes(whole[:-300])                  # only the end is missing
    (pets/"dog"/"01.jpg").write_bytes(b"")
    (pets/"dog"/"03.jpg").write_bytes(b"<html>not found</html>")
    (pets/"dog"/"99.jpg").symlink_to("nowhere.jpg")
    (pets/"dog"/"98.jpg").mkdir()
    for _ in range(2): # the second time too: nothing bad was remembered as good
        with pytest.raises(ValueError, match="6 of 22 pictures cannot be read") as e: load_task(f"folder:{pets}")
        assert all(n in str(e.value) for n in ("cat/00.jpg", "cat/02.jpg", "dog/01.jpg", "dog/03.jpg", "dog/99.jpg", "dog/98.jpg", "Replace or remove them"))

def test_picture_that_breaks_after_it_was_checked(pets):
    load_task(f"folder:{pets}")
    whole = (pets/"cat"/"00.jpg").read_bytes()
    (pets/"cat"/"00.jpg").write_bytes(whole[:len(whole) // 2])
    with pytest.raises(ValueError, match="1 of 20 pictures"): load_task(f"folder:{pets}")

def test_many_open_files(pets):
    "A data set may hold more pictures than a process may hold open files."
    import os
    task = load_task(f"folder:{pets}")
    for i in range(20): task.inputs[i]
    assert not [f for f in os.listdir("/proc/self/fd") if os.path.realpath(f"/proc/self/fd/{f}").startswith(str(pets))] if Path("/proc/self/fd").exists() else True

# ---------------------------------------------------------------- names

def test_known_name_wins_over_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path/"digits").mkdir(); (tmp_path/"pets").mkdir()
    assert load_task("digits").name == "digits"
    with pytest.raises(ValueError, match="'folder:pets'"): load_task("pets")

def test_objects_in_place_of_names():
    task = load_task("digits", n_train=100)
    assert load_task(task) is task and load_task(task, n_train=50).n_train == 50
    x, y = arrays((20, 20))
    four = load_task((x[:30], y[:30], x[30:], y[30:]))
    assert np.array_equal(four.splits["test"], np.arange(30, 40)) and four.origin["test"] == "official" and load_task([x, y]).name == load_task((x, y)).name
    assert load_task((x.tolist(), y.tolist())).medium.name == "array" and load_task((x, y)).medium.name == "image"

def test_digits_are_what_they_were():
    task = load_task("digits", n_train=1000)
    assert (task.n_train, len(task.splits["valid"]), len(task.splits["test"])) == (1000, 196, 450) and len(leaked(task)) == 0
    assert task.inputs[0].size == (8, 8) and task.metric == "accuracy"

# ---------------------------------------------------------------- leaks

def test_leaks_are_counted():
    x, y = arrays((30, 30))
    task = load_task((x, y, np.r_[x[:4], 255 - x[:10], x[:1]], np.r_[y[:4], y[:10], y[:1]]))
    assert leaked(task).tolist() == [60, 61, 62, 63, 74]
    small = task.sample(10)
    assert set(leaked(small)) == {60 + i for i in range(4) if i in set(learned(small))} | ({74} if 0 in set(learned(small)) else set())

# ---------------------------------------------------------------- torchvision's sets, read by torchvision

def write_idx(path, x):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(">HBB", 0, 8, x.ndim) + struct.pack(f">{x.ndim}I", *x.shape) + x.astype(np.uint8).tobytes())

def test_mnist_files(tmp_path):
    rng = np.random.default_rng(0)
    data = {k: (rng.integers(0, 256, (n, 28, 28)), np.arange(n) % 10) for k, n in (("train", 60), ("t10k", 20))}
    for k, (x, y) in data.items():
        write_idx(tmp_path/"MNIST"/"raw"/f"{k}-images-idx3-ubyte", x); write_idx(tmp_path/"MNIST"/"raw"/f"{k}-labels-idx1-ubyte", y)
    task = load_task("mnist", root=tmp_path)
    assert task.name == "torchvision:mnist" and len(task.splits["test"]) == 20 and task.n_train == 60 and task.origin["valid"] == "drawn" and len(task.classes) == 10
    assert np.array_equal(np.array(task.inputs[61])[..., 1], data["t10k"][0][1]) and task.classes[task.y[61]].startswith("1")
    assert load_task("MNIST", root=str(tmp_path), n_train=20).n_train == 20

def pictures(folder, classes, n, seed=0, suffix="jpg"):
    for j, c in enumerate(classes):
        for i in range(n):
            (folder/c).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(100 * j + i + 1000 * seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(folder/c/f"{c}_{i}.{suffix}")

def test_set_with_official_valid(tmp_path):
    for k, name in enumerate(("train", "valid", "test")): pictures(tmp_path/"country211"/name, ("AD", "AE"), 6, k)
    task = load_task("country211", root=tmp_path)
    assert {k: len(v) for k, v in task.splits.items()} == dict(train=12, valid=12, test=12) and task.classes == ("AD", "AE") and set(task.origin.values()) == {"official"}

def test_set_that_calls_its_test_val(tmp_path):
    for k, name in enumerate(("train", "val")): pictures(tmp_path/"imagenette2"/name, ("n01440764", "n02102040"), 10, k, "jpeg")
    task = load_task("imagenette", root=tmp_path)
    assert len(task.splits["test"]) == 20 and task.n_train == 20 and "tench" in task.classes[0]

def test_set_without_splits(tmp_path):
    pictures(tmp_path/"eurosat"/"2750", ("Forest", "River"), 12)
    task = load_task("eurosat", root=tmp_path)
    assert task.origin["test"] == "drawn" and len(task.y) == 24 and len(leaked(task)) == 0

def test_set_with_lists_of_files(tmp_path):
    base = tmp_path/"dtd"/"dtd"
    pictures(base/"images", ("banded", "zigzagged"), 9)
    (base/"labels").mkdir()
    for k, rows in dict(train1=range(3), val1=range(3, 6), test1=range(6, 9)).items(): (base/"labels"/f"{k}.txt").write_text("".join(f"{c}/{c}_{i}.jpg\n" for c in ("banded", "zigzagged") for i in rows))
    task = load_task("dtd", root=tmp_path)
    assert {k: len(v) for k, v in task.splits.items()} == dict(train=6, valid=6, test=6) and task.classes == ("banded", "zigzagged")

FASHION = Path("/usr/share/datasets/fashion-mnist")

def test_fashion_mnist_itself(tmp_path):
    if not FASHION.is_dir(): pytest.skip("needs Debian's package dataset-fashion-mnist")
    for f in FASHION.glob("*.gz"):
        to = tmp_path/"FashionMNIST"/"raw"/f.stem
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(gzip.decompress(f.read_bytes()))
    task = load_task("fashion_mnist", root=tmp_path, n_train=1000)
    assert len(task.y) == 70_000 and len(task.splits["test"]) == 10_000 and task.n_train == 1000 and "Trouser" in task.classes and np.bincount(task.y[learned(task)]).tolist() == [100] * 10

@pytest.mark.parametrize("name, file, folder", [("cifar10", "cifar-10-python.tar.gz", "cifar-10-batches-py"), ("fashion_mnist", "t10k-labels-idx1-ubyte.gz", "FashionMNIST/raw"), ("emnist", "below", ""), ("flowers102", "Flowers102", ""), ("sun397", "SUN397", ""), ("imagenet", "ImageNet", "")])
def test_no_network(name, file, folder, tmp_path, monkeypatch):
    "Which files are missing, where they belong, and what runs without them; at once."
    def refuse(*a, **k): raise socket.gaierror(-2, "Name or service not known")
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for k in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"): monkeypatch.delenv(k, raising=False)
    with pytest.raises(OSError) as e: load_task(name, root=tmp_path)
    for words in (file, str(tmp_path/folder), "digits", "folder:PATH"): assert words in str(e.value)

@pytest.mark.parametrize("name", ["cococaptions", "kitti2015stereo", "ucf101", "flyingchairs", "widerface", "vocdetection", "celeba", "fakedata", "imagefolder"])
def test_sets_that_are_no_classification(name):
    with pytest.raises(ValueError, match="Unknown task"): load_task(name)
