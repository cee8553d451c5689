"Folders of pictures: which files are read, what is said of the others, and pictures that are unusual."
import json, os, struct, threading, time, zlib

import numpy as np, pytest, timm, torch
from PIL import Image

from upgradeability import check_task, evaluate, extract, folders, load_backbone, load_task, read_predictions
from upgradeability.checks import measure_view
from upgradeability.folders import _ROOM, pixel_budget, picture_endings, picture_files, read_picture
from upgradeability.models import wordnet_columns
from upgradeability.reading import value_text
from upgradeability.media import STRIP, to_rgb

RNG = np.random.default_rng(0)

@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch): monkeypatch.setenv("UPGRADEABILITY_CACHE", str(tmp_path_factory.mktemp("cache")))

def picture(seed=0, size=(12, 10)):
    w, h = size
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8))

def fill(place, classes="ab", n=8, start=0, ending="png"):
    "Class folders with pictures that all differ."
    for c, name in enumerate(classes):
        (place/name).mkdir(parents=True, exist_ok=True)
        for j in range(start, start + n): picture(1000 * c + j).save(place/name/f"{j:03}.{ending}")
    return place

def load(place): return load_task(f"folder:{place}")
def said(task): return "\n".join(map(str, task.reading))
def findings(task): return "\n".join(map(str, task.reading.findings))
def sizes(task): return {k: len(v) for k, v in task.splits.items()}

# ---- splits

SPELLINGS = [("Training", "Testing"), ("TRAIN", "TEST"), ("seg_train", "seg_test"), ("train_set", "test_set"), ("train", "Eval")]

@pytest.mark.parametrize("train, other", SPELLINGS)
def test_usual_spellings_are_splits(tmp_path, train, other):
    fill(tmp_path/train, n=10), fill(tmp_path/other, n=4, start=100)
    task = load(tmp_path)
    assert task.classes == ("a", "b") and sizes(task) == dict(train=16, valid=4, test=8) and task.origin["test"] == "official"
    assert train in value_text(task.reading["splits from"]) and other in value_text(task.reading["splits from"])

@pytest.mark.parametrize("name", ["validation", "val", "valid", "dev", "Validation"])
def test_without_test_validation_is_tested(tmp_path, name):
    fill(tmp_path/"train", n=10), fill(tmp_path/name, n=4, start=100)
    task = load(tmp_path)
    assert sizes(task) == dict(train=16, valid=4, test=8)
    assert task.reading.entries[0].about == "split rule" and repr(name) in task.reading["split rule"]

def test_train_val_test_keeps_all_three(tmp_path):
    for name, n in dict(train=10, val=3, test=4).items(): fill(tmp_path/name, n=n, start=100 * n)
    assert sizes(load(tmp_path)) == dict(train=20, valid=6, test=8)

@pytest.mark.parametrize("unlabelled", [lambda d: fill(d.parent, classes=[d.name]), lambda d: fill(d, classes=["unknown"]), lambda d: d.mkdir()])
def test_a_test_split_without_labels_is_as_good_as_none(tmp_path, unlabelled):
    fill(tmp_path/"train", n=10), fill(tmp_path/"val", n=4, start=100)
    unlabelled(tmp_path/"test")
    task = load(tmp_path)
    assert task.classes == ("a", "b") and sizes(task)["test"] == 8 and "'test' is left out" in findings(task)

def test_test_split_with_a_class_that_train_lacks(tmp_path):
    fill(tmp_path/"train", n=8), fill(tmp_path/"test", "abc", n=4, start=100)
    with pytest.raises(ValueError, match="'c' is in test but not in train"): load(tmp_path)

def test_two_folders_for_one_split(tmp_path):
    for name in ("train", "val", "validation"): fill(tmp_path/name)
    with pytest.raises(ValueError, match="'val' and 'validation'"): load(tmp_path)

def test_class_named_train_is_a_class(tmp_path):
    fill(tmp_path, classes=["train", "bus", "plane"])
    task = load(tmp_path)
    assert task.classes == ("bus", "plane", "train") and "'train' taken as a class" in findings(task)

def test_folders_beside_the_splits_are_said(tmp_path):
    fill(tmp_path/"train"), fill(tmp_path/"test", start=100), fill(tmp_path/"more", start=200)
    assert "beside the splits" in findings(load(tmp_path))

@pytest.mark.parametrize("outer", ["data", "images"])
def test_one_level_too_high(tmp_path, outer):
    fill(tmp_path/outer/"train"), fill(tmp_path/outer/"test", start=100)
    with pytest.raises(ValueError, match=f"has only one folder, '{outer}'.*give folder:.*{outer}"): load(tmp_path)
    (tmp_path/"other").mkdir()
    with pytest.raises(ValueError, match=f"{outer}' has the folders test, train.*give folder:.*{outer}"): load(tmp_path)

def test_class_folders_one_level_too_high(tmp_path):
    fill(tmp_path/"images")
    with pytest.raises(ValueError, match="'images', and that has a, b"): load(tmp_path)

def test_doubled_split_folders(tmp_path):
    fill(tmp_path/"seg_train"/"seg_train", n=10), fill(tmp_path/"seg_test"/"seg_test", n=4, start=100), fill(tmp_path, classes=["seg_pred"])
    task = load(tmp_path)
    assert task.classes == ("a", "b") and sizes(task)["test"] == 8 and "beside the splits" in findings(task)

# ---- files

@pytest.mark.parametrize("name, reason", [
    ("IMG_1.HEIC", "ending .heic"), ("scan.svg", "ending .svg"), ("raw.NEF", "ending .nef"), ("a.pdf", "ending .pdf"), ("notes.txt", "ending .txt"),
    (".hidden.png", "hidden"), ("._000.png", "thumbnails and system files"), ("Thumbs.db", "thumbnails and system files"), (".DS_Store", "thumbnails and system files"),
    (".ipynb_checkpoints/000.png", ".ipynb_checkpoints"), ("__MACOSX/._000.png", "__MACOSX"), ("@eaDir/000.png", "@eaDir"), ("README", "no file ending and not a picture")])
def test_files_left_out_are_counted_by_reason(tmp_path, name, reason):
    fill(tmp_path)
    (tmp_path/"a"/name).parent.mkdir(exist_ok=True)
    (tmp_path/"a"/name).write_bytes(b"bytes")
    task = load(tmp_path)
    assert task.reading["files left out"] == {reason: 1} and len(task.y) == 16
    serious = name.split(".")[-1] in ("HEIC", "svg", "NEF", "pdf")
    assert ("files left out" in findings(task)) == serious

@pytest.mark.parametrize("name", ["__MACOSX", ".ipynb_checkpoints", "@eaDir", ".git"])
def test_system_folders_are_no_classes(tmp_path, name):
    fill(tmp_path), fill(tmp_path, classes=[name], n=3, start=50)
    task = load(tmp_path)
    assert task.classes == ("a", "b") and len(task.y) == 16 and sum(task.reading["files left out"].values()) >= 1

def test_class_that_is_mostly_unread(tmp_path):
    fill(tmp_path)
    for i in range(20): (tmp_path/"a"/f"IMG_{i}.HEIC").write_bytes(b"0" * 100)
    task = load(tmp_path)
    assert "'a' (8 pictures are read, 20 files are not)" in findings(task) and "pillow-heif" in findings(task)

def test_class_of_nothing_but_unread_pictures(tmp_path):
    fill(tmp_path), (tmp_path/"c").mkdir()
    for i in range(3): (tmp_path/"c"/f"{i}.heic").write_bytes(b"0")
    with pytest.raises(ValueError, match="has no pictures, only 3 ending .heic.*pillow-heif"): load(tmp_path)

def test_empty_class_folder_of_test_is_only_a_warning(tmp_path):
    fill(tmp_path/"train", "abc"), fill(tmp_path/"test", "ab", start=100), (tmp_path/"test"/"c").mkdir()
    with pytest.warns(UserWarning, match="'c' is in train but not in test"): assert len(load(tmp_path).classes) == 3

def test_notes_beside_each_picture_are_no_finding(tmp_path):
    fill(tmp_path)
    for f in list(tmp_path.rglob("*.png")): f.with_suffix(".txt").write_text("box"), f.with_suffix(".xml").write_text("box")
    task = load(tmp_path)
    assert task.reading["files left out"] == {"ending .txt": 16, "ending .xml": 16} and not task.reading.findings

@pytest.mark.parametrize("ending, kind", [("jfif", "JPEG"), ("JPG", "JPEG"), ("avif", "AVIF"), ("webp", "WEBP"), ("jp2", "JPEG2000"), ("pbm", "PPM"), ("qoi", "QOI")])
def test_kinds_that_pillow_reads(tmp_path, ending, kind):
    if kind not in picture_endings().values(): pytest.skip(f"this Pillow does not read {kind}")
    fill(tmp_path)
    try: picture(9).save(tmp_path/"a"/f"x.{ending}", kind)
    except OSError: pytest.skip(f"this Pillow does not write {kind}")
    assert len(load(tmp_path).y) == 17

@pytest.mark.parametrize("name", ["picture", "image.001", "IMG 7", "x.jpg_large"])
def test_without_an_ending_contents_decide(tmp_path, name):
    fill(tmp_path)
    picture(9).save(tmp_path/"a"/name, "JPEG")
    (tmp_path/"b"/name).write_bytes(b"no picture at all" * 9)
    task = load(tmp_path)
    assert len(task.y) == 17 and sum(task.reading["files left out"].values()) == 1

def test_pictures_beside_the_class_folders(tmp_path):
    fill(tmp_path)
    picture().save(tmp_path/"loose.png")
    assert "beside the class folders" in findings(load(tmp_path))

def test_pictures_without_class_folders(tmp_path):
    for i in range(4): picture(i).save(tmp_path/f"cat.{i}.png")
    with pytest.raises(ValueError, match="no class folders but 4 pictures"): load(tmp_path)

def test_nested_pictures_belong_to_the_class_folder(tmp_path):
    fill(tmp_path), fill(tmp_path/"a", classes=["sub"], n=3, start=50)
    task = load(tmp_path)
    assert task.reading["classes"] == dict(a=11, b=8) and "a/sub" in task.reading["subfolders"]

# ---- what is not a file

def in_time(work, seconds=20):
    "What `work` returns; fails where it hangs."
    result = []
    thread = threading.Thread(target=lambda: result.append(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert result, "it hangs, or failed in its thread"
    return result[0]

def test_pipes_are_never_opened(tmp_path):
    fill(tmp_path)
    for name in ("x.jpg", "noending"): os.mkfifo(tmp_path/"a"/name)
    (tmp_path/"a"/"zero.png").symlink_to("/dev/zero")
    task = in_time(lambda: load(tmp_path))
    assert task.reading["files left out"] == {"pipes and devices": 3} and "pipes" in findings(task)

def test_a_pipe_named_by_a_table_is_refused(tmp_path):
    os.mkfifo(tmp_path/"x.jpg")
    def refused():
        with pytest.raises(ValueError, match="(?s)1 of 1 pictures.*x.jpg.*not an ordinary file"): picture_files([tmp_path/"x.jpg"])
        return True
    in_time(refused)

def test_links(tmp_path):
    "Linked files and folders are read, each folder once for each class; circles end."
    store = fill(tmp_path/"store", classes=["x"], n=5, start=300)
    pets = fill(tmp_path/"pets")
    (pets/"a"/"linked").symlink_to(store/"x")
    (pets/"a"/"again").symlink_to(store/"x")
    (pets/"a"/"up").symlink_to(pets)
    (pets/"a"/"self").symlink_to(pets/"a")
    (store/"x"/"back").symlink_to(pets/"a")
    (pets/"a"/"gone").symlink_to(tmp_path/"nowhere")
    (pets/"b"/"file.png").symlink_to(store/"x"/"300.png")
    (pets/"loop").symlink_to(pets/"loop")
    task = in_time(lambda: load(pets))
    assert task.reading["classes"] == dict(a=13, b=9)
    assert task.reading["files left out"] == {"broken links": 2, "links to a folder above": 2, "links to a folder that is read already": 2}

def test_a_link_that_leads_nowhere_is_refused_where_it_is_named_like_a_picture(tmp_path):
    fill(tmp_path)
    (tmp_path/"a"/"gone.png").symlink_to(tmp_path/"nowhere.png")
    with pytest.raises(ValueError, match=r"(?s)1 of 17 pictures.*gone.png \(OSError: there is no such file"): load(tmp_path)

def test_linked_class_folder(tmp_path):
    store, pets = fill(tmp_path/"store", classes=["c"], start=50), fill(tmp_path/"pets")
    (pets/"c").symlink_to(store/"c")
    assert load(pets).classes == ("a", "b", "c")

# ---- decoders

def test_postscript_is_refused_whatever_its_name(tmp_path):
    fill(tmp_path, ending="jpg")
    picture().save(tmp_path/"script.eps")
    (tmp_path/"script.eps").rename(tmp_path/"a"/"script.jpg")
    with pytest.raises(ValueError, match=r"1 of 17 pictures.*\n.*script.jpg \(it is PostScript"): load(tmp_path)

@pytest.mark.parametrize("start, why", [(b"%PDF-1.4", "a PDF"), (b"<!DOCTYPE html>", "web page"), (b"<svg xmlns=", "SVG"), (b"version https://git-lfs", "git lfs pull"), (b"", "empty")])
def test_what_a_file_is_instead(tmp_path, start, why):
    fill(tmp_path)
    (tmp_path/"a"/"x.png").write_bytes(start + b" " * 50 * bool(start))
    with pytest.raises(ValueError, match=f"x.png.*{why}"): load(tmp_path)

def test_decompression_bomb_is_named(tmp_path, monkeypatch):
    fill(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    picture(1, (60, 50)).save(tmp_path/"a"/"bomb.png")
    with pytest.raises(ValueError, match=r"bomb.png \(more than the 2,000 pixels.*MAX_IMAGE_PIXELS"): load(tmp_path)

# ---- unusual pictures

def save_16(path, values): Image.fromarray(np.asarray(values, np.uint16)).save(path)

@pytest.mark.parametrize("ending", ["png", "tif", "tiff"])
@pytest.mark.parametrize("top, bits", [(4095, 12), (1023, 10), (16383, 14)])
def test_few_bits_in_16(tmp_path, ending, top, bits):
    for c in "ab":
        (tmp_path/c).mkdir()
        for i in range(6): save_16(tmp_path/c/f"{i}.{ending}", RNG.integers(0, top, (9, 9)) * 0 + np.r_[top, RNG.integers(0, top, 80)].reshape(9, 9))
    task = load(tmp_path)
    assert f"{top} of 65535 ({bits} bits" in findings(task) and "divided by 257" in said(task)

def test_16_bits_in_full_are_no_finding(tmp_path):
    for c in "ab":
        (tmp_path/c).mkdir()
        for i in range(6): save_16(tmp_path/c/f"{i}.png", RNG.integers(0, 65536, (9, 9)))
    assert not load(tmp_path).reading.findings

def save_rgb_16(path, values):
    "A PNG of three channels with 16 bits each, which Pillow reads and does not write."
    def chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    h, w, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 16, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))

@pytest.mark.parametrize("top, is_found", [(4095, True), (65535, False)])
def test_few_bits_in_16_of_each_colour(tmp_path, top, is_found):
    fill(tmp_path)
    values = RNG.integers(0, top, (9, 9, 3))
    values[0, 0] = top
    save_rgb_16(tmp_path/"a"/"deep.png", values)
    assert ("4095 of 65535 (12 bits" in findings(load(tmp_path))) == is_found

def test_values_beyond_16_bits(tmp_path):
    fill(tmp_path)
    Image.fromarray(np.full((9, 9), 100_000, np.int32)).save(tmp_path/"a"/"x.tif")
    assert "100,000" in findings(load(tmp_path))

def test_first_frame_is_said(tmp_path):
    fill(tmp_path)
    frames = [picture(i, (20, 20)) for i in range(3)]
    for ending in ("gif", "webp", "png", "tif"): frames[0].save(tmp_path/"a"/f"moving.{ending}", save_all=True, append_images=frames[1:])
    task = load(tmp_path)
    assert "4 of 20 pictures are animated or have several pages; the first frame is read" in findings(task)
    assert np.array_equal(np.asarray(read_picture(tmp_path/"a"/"moving.tif")), np.asarray(frames[0]))

@pytest.fixture(scope="module")
def small_net():
    "The preprocessing of a real network before a very small one."
    net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(48, 5))
    return load_backbone(net, preprocess=load_backbone("bundled:efficientnet_lite0", device="cpu").preprocess, device="cpu")

SLIVERS = [(1, 48), (48, 1), (1, 1), (2, 900), (1, 13_000), (3, 5)]

@pytest.mark.parametrize("size", SLIVERS)
def test_slivers_are_findings_and_pass_everything(tmp_path, small_net, size):
    fill(tmp_path)
    picture(5, size).save(tmp_path/"a"/"sliver.png")
    task = load(tmp_path)
    assert "thinner than 4 pixels (the first: a/sliver.png)" in findings(task)
    assert np.isfinite(extract(small_net, task, dtype="float32", batch_size=4).x).all()
    assert set(check_task(task, backbone=small_net).severity) <= {"warning", "info"}

def test_long_pictures_are_squeezed(tmp_path):
    fill(tmp_path)
    picture(5, (1500, 8)).save(tmp_path/"a"/"band.png")
    task = load(tmp_path)
    assert read_picture(tmp_path/"a"/"band.png").size == (800, 8) and "squeezed to that (the first: a/band.png)" in findings(task)

@pytest.mark.parametrize("size", [(1, 48), (48, 1), (1, 1)])
@pytest.mark.parametrize("output", [1, 3, 16])
def test_view_of_slivers(size, output):
    "No division by zero, whatever the preprocessing makes of a sliver."
    def preprocess(p): return torch.tensor(np.asarray(p.resize((output, output)), np.float32)).permute(2, 0, 1) / 255
    assert measure_view(preprocess, size).largest == 1

@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "CMYK", "P", "1", "I;16", "YCbCr"])
def test_strips_change_nothing(mode, monkeypatch):
    values = RNG.integers(0, 256, (70, 50, 4), np.uint8)
    source = Image.fromarray(RNG.integers(0, 65536, (70, 50), np.uint16)) if mode == "I;16" else Image.fromarray(values).convert(mode) if mode not in ("CMYK", "YCbCr") else Image.fromarray(values[..., :3]).convert(mode)
    assert 70 * 50 < STRIP
    whole = np.asarray(to_rgb(source))
    monkeypatch.setattr("upgradeability.media.STRIP", 160)
    assert np.array_equal(whole, np.asarray(to_rgb(source)))

# ---- memory

def test_pixels_in_use_are_bounded(tmp_path, monkeypatch):
    "Twelve threads read pictures of 10,000 pixels; no more than 25,000 pixels are in use, and a larger one goes alone."
    monkeypatch.setattr(folders, "PIXELS_AT_ONCE", 25_000)
    enter, most = _ROOM.enter, []
    def enter_and_note(*args, **kwargs):
        with _ROOM.changed: # no other thread enters or leaves between the two lines
            enter(*args, **kwargs)
            most.append(_ROOM.used)
    monkeypatch.setattr(_ROOM, "enter", enter_and_note)
    files = [tmp_path/f"{i}.png" for i in range(12)]
    for i, f in enumerate(files): picture(i, (100, 100)).save(f)
    seen = []
    def use(f):
        with pixel_budget():
            read_picture(f)
            seen.append(_ROOM.used)
            time.sleep(.01)
    def all_at_once(files):
        threads = [threading.Thread(target=use, args=(f,)) for f in files]
        for t in threads: t.start()
        for t in threads: t.join(20)
        return len(seen)
    assert all_at_once(files) == 12 and max(seen) == max(most) == 20_000 and _ROOM.used == 0
    picture(0, (300, 300)).save(files[0])
    assert all_at_once(files) == 24 and max(most) == 90_000 and _ROOM.used == 0

def test_a_thread_with_a_picture_does_not_wait(tmp_path, monkeypatch):
    "Two threads that hold a picture and read a second one do not wait for each other."
    monkeypatch.setattr(folders, "PIXELS_AT_ONCE", 100)
    picture().save(tmp_path/"x.png")
    def use():
        with pixel_budget():
            read_picture(tmp_path/"x.png")
            read_picture(tmp_path/"x.png")
        return True
    def two():
        other = threading.Thread(target=use, daemon=True)
        other.start()
        return use() and (other.join(20) or not other.is_alive())
    assert in_time(two)

@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_reads_while_its_parent_does(tmp_path):
    picture().save(tmp_path/"x.png")
    _ROOM.enter(folders.PIXELS_AT_ONCE)
    try:
        child = os.fork()
        if not child:
            read_picture(tmp_path/"x.png")
            os._exit(7)
        assert in_time(lambda: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])) == 7
    finally: _ROOM.leave(folders.PIXELS_AT_ONCE)

# ---- remembering

def test_decoded_once(tmp_path, monkeypatch):
    fill(tmp_path)
    before = load(tmp_path)
    def fail(path): raise AssertionError(f"{path} is decoded again")
    monkeypatch.setattr(folders, "_picture_facts", fail)
    assert load(tmp_path).reading == before.reading
    picture(77).save(tmp_path/"a"/"new.png")
    with pytest.raises(ValueError, match="decoded again"): load(tmp_path)

@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b"null"])
def test_a_damaged_memory_is_made_again(tmp_path, damage):
    fill(tmp_path)
    before = load(tmp_path).reading
    for mark in (folders.cache_dir()/"pictures").iterdir(): mark.write_bytes(damage)
    assert load(tmp_path).reading == before
    for mark in (folders.cache_dir()/"pictures").iterdir(): assert json.loads(mark.read_text())

def test_reading_shows_what_a_person_checks(tmp_path):
    fill(tmp_path/"train", n=10), fill(tmp_path/"test", n=4, start=100)
    task = load(tmp_path)
    assert task.reading["first example"] == "train/a/000.png is 'a'" and task.reading["picture sizes"] == "all 12 x 10"
    assert task.reading["picture modes"] == {"RGB": 28} and "a 10, b 10" in task.reading["files"]["train"] and task.reading["files left out"] == "none"

# ---- torchvision's sets

def test_a_set_without_test_split_is_tested_on_its_validation(tmp_path):
    from torchvision.datasets import Imagenette
    from upgradeability.datasets import _set_splits
    for split in ("train", "val"):
        for i, wnid in enumerate(("n01440764", "n02102040", "n02979186", "n03000684", "n03028079", "n03394916", "n03417042", "n03425413", "n03445777", "n03888257")):
            fill(tmp_path/"imagenette2"/split, classes=[wnid], n=3, start=100 * i + 50 * (split == "val"), ending="JPEG")
    parts, reading = _set_splits(Imagenette, str(tmp_path), {})
    assert list(parts) == ["train", "test"] and "'val' is the test set" in reading["split rule"]
    task = load_task("imagenette", root=tmp_path)
    assert len(task.splits["test"]) == 30 and "'val' is the test set" in said(task)

def test_a_set_whose_test_labels_are_withheld(tmp_path):
    "As on Kaggle: test.csv without the column of labels."
    (tmp_path/"fer2013").mkdir()
    def rows(n, labels): return "".join(f"{i % 7}," * labels + '"' + " ".join(map(str, np.random.default_rng(i).integers(0, 256, 2304))) + '"\n' for i in range(n))
    (tmp_path/"fer2013"/"train.csv").write_text("emotion,pixels\n" + rows(35, True))
    (tmp_path/"fer2013"/"test.csv").write_text("pixels\n" + rows(7, False))
    from torchvision.datasets import FER2013
    from upgradeability import datasets
    class Unchecked(FER2013): # its files are checked by their sums
        _RESOURCES = {k: (name, None) for k, (name, *_) in FER2013._RESOURCES.items()}
    parts, reading = datasets._set_splits(Unchecked, str(tmp_path), {})
    assert list(parts) == [""] and "'test' is left out" in "\n".join(map(str, reading.findings))

# ---- WordNet ids

def test_order_of_wordnet_ids_is_that_of_the_head():
    ids = timm.data.ImageNetInfo("imagenet-1k").label_names()
    assert ids == sorted(ids) and wordnet_columns(ids) == {k: [i] for i, k in enumerate(ids)}

def test_class_folders_named_by_wordnet_ids(tmp_path):
    "The head's own classes, recognised on scikit-learn's photographs."
    from sklearn.datasets import load_sample_images
    palace, daisy = load_sample_images().images
    for name, x in {"n03877845": palace, "n11939491-daisy": daisy}.items():
        (tmp_path/"pics"/name).mkdir(parents=True)
        for i in range(8): Image.fromarray(x[i:420 - i, 100 + i:520 - i]).save(tmp_path/"pics"/name/f"{i}.png")
    df = evaluate("bundled:efficientnet_lite0", f"folder:{tmp_path/'pics'}", protocols=["as_is"], out_dir=tmp_path/"out", dtype="float32")
    row = df[df.protocol == "as_is"].iloc[0]
    assert not row.error and row.test == 1
    assert "WordNet ids" in str(load(tmp_path/"pics").reading) and "by WordNet ids (2 of 2" in str(read_predictions(tmp_path/"out", row.key)["test"].meta)

def test_names_that_only_resemble_ids():
    assert wordnet_columns(["n0144076", "n014407645", "n99999999", "tench", "n01440764 tench"]) == {"n01440764 tench": [0]}

# ---- names

def test_names_that_are_no_text(tmp_path):
    "Files and class folders are read whatever their names; a report shows what is no text as escapes."
    fill(tmp_path)
    picture(5).save(tmp_path/"a"/"x.png")
    os.rename(os.fsencode(tmp_path/"a"/"x.png"), os.fsencode(tmp_path/"a") + b"/\xff.png")
    assert len(load(tmp_path).y) == 17
    os.rename(os.fsencode(tmp_path/"a"), os.fsencode(tmp_path) + b"/c\xff")
    assert load(tmp_path).classes == ("b", r"c\udcff")
