"Specs, lists, fingerprints and files under hostile conditions."
import json, os, resource, signal, subprocess, sys
from pathlib import Path

import numpy as np
import pytest

from upgradeability.core import Spec, cache_dir, check_parameters, fingerprint, nearest_name, parse_spec, read_list, refuse_path, unknown, write_atomic, write_json

SOURCES = ("hub", "timm", "folder", "csv", "file", "torchvision")

# ---------------------------------------------------------------- specs

@pytest.mark.parametrize("text, source, name, options", [
    ("resnet50", "", "resnet50", {}),
    ("torchvision:resnet50:IMAGENET1K_V2", "torchvision", "resnet50:IMAGENET1K_V2", {}),
    ("timm:vit_small_patch14_dinov2.lvd142m", "timm", "vit_small_patch14_dinov2.lvd142m", {}),
    ("hub:facebookresearch/dino:v1.0:dino_vits16?trust_repo=true", "hub", "facebookresearch/dino:v1.0:dino_vits16", {"trust_repo": True}),
    ("fine_tune?lrs=[1e-4,1e-3]&epochs=3", "", "fine_tune", {"lrs": [1e-4, 1e-3], "epochs": 3}),
    ("folder:what?/cats", "folder", "what?/cats", {}),
    ("csv:what?.csv?text=body", "csv", "what?.csv", {"text": "body"}),
    ("folder:a=b/c", "folder", "a=b/c", {}),
    ("hub:x:y?weights=null&a=false&b=1.5&c=1e-4&d=", "hub", "x:y", {"weights": None, "a": False, "b": 1.5, "c": 1e-4, "d": ""}),
    ("folder:C:\\pets", "folder", "C:\\pets", {}),
    ("/data/a:b", "", "/data/a:b", {}),
    ("C:\\pets", "", "C:\\pets", {}),
    (" resnet50 ", "", "resnet50", {})])
def test_spec_is_parsed(text, source, name, options):
    spec = parse_spec(text, SOURCES)
    assert (spec.source, spec.name, spec.options) == (source, name, options)

@pytest.mark.parametrize("options", [{"weights": None}, {"a": True, "b": False}, {"c": 1e-05, "n": 3}, {"text": "a b&c=d"}, {"l": [1, 2]}, {"e": "1+1 %"}], ids=str)
def test_spec_survives_being_written(options):
    spec = Spec("hub", "/some/folder:entry", options)
    assert parse_spec(str(spec), SOURCES) == spec

@pytest.mark.parametrize("text", ["", "timm:", "  ", "timm: "])
def test_spec_that_names_nothing(text):
    with pytest.raises(ValueError, match="has no name"): parse_spec(text, SOURCES)

def test_unknown_source():
    with pytest.raises(ValueError, match=r"Unknown source 'tim'. Did you mean 'timm'\?"): parse_spec("tim:resnet50", SOURCES)

@pytest.mark.parametrize("text", ["./pets", "pets/cats", "~/pets", "model.pth", "a.safetensors", "C:\\pets", "data.CSV"])
def test_path_without_source_is_refused(text):
    with pytest.raises(ValueError, match="looks like a path.*'folder:"): refuse_path("task", text, ("folder:{}",))

def test_existing_folder_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path/"pets").mkdir()
    with pytest.raises(ValueError, match="looks like a path"): refuse_path("task", "pets", ("folder:{}",))

@pytest.mark.parametrize("text", ["resnet50", "vit_small_patch14_dinov2.lvd142m", "convnext_tiny.fb_in22k", "x" * 5000])
def test_names_are_no_paths(text): assert refuse_path("model", text, ("file:{}",)) is None

def test_nearest():
    assert nearest_name("resnet5O", ["resnet18", "resnet50"]) == "resnet50"
    assert nearest_name("RESNET50", ["ResNet50"]) == "ResNet50"
    assert nearest_name("xyz", ["resnet50"]) is None and nearest_name("a", []) is None

def test_unknown_takes_any_iterable_once():
    message = str(unknown("thing", 3, (str(i) for i in range(100))))
    assert "Unknown thing '3'" in message and "Did you mean '3'" in message and "(100 in all)" in message

# ---------------------------------------------------------------- lists and values

@pytest.mark.parametrize("given, wanted", [
    (None, []), ("", []), ("[]", []), ("[a, b]", ["a", "b"]), ("a, b", ["a", "b"]), ("a,b,", ["a", "b"]), ("a", ["a"]), (["a"], ["a"]), (("a", 1), ["a", 1]),
    ("[a,\n b]", ["a", "b"]), ("- a\n- b", ["a", "b"]), ("100, 300", [100, 300]), ("[100, 3e2]", [100, 300.0]), ("1e-4,1e-3", [1e-4, 1e-3]), (5, [5]),
    ("[[1, 2], [3]]", [[1, 2], [3]]), ("[null, 100]", [None, 100]), ("null, 100", [None, 100]), ("true,no", [True, False]), (range(3), [0, 1, 2]), pytest.param({"b", "a"}, ["a", "b"], id="a set"),
    (np.array([3, 4]), [3, 4]), (np.array(7), [7]), ("timm:vit_tiny_patch16_224, hub:/a/b:c?x=1&y=2", ["timm:vit_tiny_patch16_224", "hub:/a/b:c?x=1&y=2"]),
    ("[timm:vit_tiny_patch16_224.in1k, 'resnet50']", ["timm:vit_tiny_patch16_224.in1k", "resnet50"]), ("knn, fine_tune?lrs=[1e-4,1e-3]", ["knn", "fine_tune?lrs=[1e-4,1e-3]"]),
    ("['100', 100]", ["100", 100]), ("2024-01-01, b", ["2024-01-01", "b"]), ("'a', \"b\"", ["a", "b"])], ids=str)
def test_read_list(given, wanted):
    found = read_list(given)
    assert found == wanted and [type(o) for o in found] == [type(o) for o in wanted]

def test_read_list_keeps_objects_whole():
    "A network can be iterated over, and is one thing all the same."
    from torch import nn
    net = nn.Sequential(nn.ReLU(), nn.ReLU())
    assert read_list(net) == [net]

def test_read_list_is_a_copy():
    given = [1, 2]
    read_list(given).append(3)
    assert given == [1, 2]

def test_unclosed_list():
    with pytest.raises(ValueError, match=r"is not a list: write \[a, b, c\]"): read_list("[as_is, knn")

def test_parameters():
    own = "model: str = 'x'  # what\nn_train = 100\na, b = 1, 2"
    given = "# Parameters\nmodel = 'y'\nb = 3\n"
    assert check_parameters({"In": ["", own, given, "rest"]}) is None and check_parameters({}) is None and check_parameters({"In": ["", own]}) is None
    for wrong, meant in [("modle", "model"), ("n_trian", "n_train")]:
        with pytest.raises(ValueError, match=f"Unknown parameter '{wrong}'. Did you mean '{meant}'"): check_parameters({"In": ["", own, given + f"{wrong} = 1\n"]})
    assert check_parameters({"In": ["", "%matplotlib inline\n" + own, given]}) is None

def test_parameters_by_papermill(tmp_path):
    "Text, YAML, None and a misspelt name, through papermill itself."
    nbformat, papermill = pytest.importorskip("nbformat"), pytest.importorskip("papermill")
    cells = [nbformat.v4.new_code_cell("protocols = 'knn'  # which\nn_train: int = None", metadata={"tags": ["parameters"]}),
             nbformat.v4.new_code_cell("from upgradeability.core import check_parameters, read_list\ncheck_parameters(globals())\nread_list(protocols), read_list(n_train)")]
    path = tmp_path/"a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=dict(kernelspec=dict(name="python3", display_name="python3", language="python"))), path)
    def run(**parameters):
        nb = papermill.execute_notebook(str(path), str(tmp_path/"b.ipynb"), parameters, progress_bar=False)
        return nb.cells[-1].outputs[0]["data"]["text/plain"]
    assert run(protocols="[as_is, knn]", n_train=None) == "(['as_is', 'knn'], [])"
    assert run(protocols=["as_is", "knn"], n_train="[null, 10]") == "(['as_is', 'knn'], [None, 10])"
    with pytest.raises(Exception, match="Did you mean 'protocols'"): run(protocol="knn")

# ---------------------------------------------------------------- fingerprints

DISTINCT = [None, True, 1, 1.0, "1", b"1", "", b"", [], {}, set(), [[]], [1], ["1"], [1, 2], [[1], 2], [[1, 2]], "True", "None", 0, -0.0, float("nan"), {"a": 1}, {"a": "1"}, {"a": {}}, ["a", 1], [["a", 1]],
            {1: 2}, {"1": 2}, {1, 2}, Path("a"), "a", np.zeros(2), np.zeros(2, "f4"), np.zeros((2, 1)), np.zeros((1, 2)), np.zeros(2, int), np.zeros(2, bool), np.array([0, 0], object), np.zeros(0), np.zeros((0, 3)),
            np.array(["a"]), np.array(["a"], object), np.array(0.0), np.array([(1, 2)], [("x", "i4"), ("y", "i4")]), np.array([(1, 2)], [("y", "i4"), ("x", "i4")])]

def test_fingerprints_are_distinct():
    prints = [fingerprint(o) for o in DISTINCT]
    assert len(set(prints)) == len(prints)

def test_parts_do_not_run_together():
    for a, b in [(("ab", "c"), ("a", "bc")), ((b"ab", b"c"), (b"a", b"bc")), (({"a": 1}, ("b", 2)), ({"a": 1, "b": 2},)), (([1], 2), ([1, 2],)), ((b"a", b"bytes 1 b"), (b"abytes 1 b",))]:
        assert fingerprint(*a) != fingerprint(*b)

def test_fingerprint_is_canonical():
    x = np.arange(12.).reshape(3, 4)
    assert fingerprint(x) == fingerprint(np.asfortranarray(x)) == fingerprint(np.repeat(x, 2, 1)[:, ::2]) == fingerprint(x.astype(">f8"))
    assert fingerprint(np.float64(.1), np.int32(3), np.bool_(True), np.str_("a")) == fingerprint(.1, 3, True, "a")
    assert fingerprint({"b": 1, "a": [np.int64(2)]}) == fingerprint({"a": (2,), "b": 1})
    assert fingerprint({"x", "y", "z"}) == fingerprint(frozenset("zyx"))

def test_fingerprint_is_the_same_everywhere():
    "Other runs salt their hashes differently; a fixed value guards against a silent change of the cache's names."
    code = "import numpy as np; from upgradeability.core import fingerprint; print(fingerprint({'a', 'b'}, {'k': np.arange(3, dtype='i4')}, None, 'x', 1.5))"
    prints = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": s}).stdout.strip() for s in "12"}
    assert prints == {fingerprint({"a", "b"}, {"k": np.arange(3, dtype="i4")}, None, "x", 1.5)}

@pytest.mark.parametrize("thing", [object(), lambda: 0, [object()]], ids=["object", "function", "nested"])
def test_no_fingerprint_of_an_address(thing):
    with pytest.raises(TypeError, match="has no fingerprint"): fingerprint(thing)

# ---------------------------------------------------------------- files

def test_write_json(tmp_path):
    path = write_json(tmp_path/"deep"/"a.json", {"n": np.int64(3), "x": np.arange(2), "f": np.float32(.5), "p": Path("a"), "b": np.bool_(True)})
    assert json.loads(path.read_text()) == {"n": 3, "x": [0, 1], "f": .5, "p": "a", "b": True}

KILLED = """
import sys, time
from upgradeability.core import write_atomic
def slowly(f):
    while True: f.write(b'new' * 10_000); f.flush(); print('writing', flush=True); time.sleep(.01)
write_atomic(sys.argv[1], slowly)
"""

def test_killed_while_writing(tmp_path):
    target = tmp_path/"a.bin"
    target.write_bytes(b"old")
    job = subprocess.Popen([sys.executable, "-c", KILLED, str(target)], stdout=subprocess.PIPE, text=True)
    job.stdout.readline()
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    assert target.read_bytes() == b"old"
    write_atomic(target, lambda f: f.write(b"new"))
    assert target.read_bytes() == b"new"

def test_no_room(tmp_path):
    "A file may not grow beyond 4 kB here: the old contents stay, nothing is left over, the message says what to do."
    target = tmp_path/"a.bin"
    target.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="no partial file was left. Free some space") as e: write_atomic(target, lambda f: f.write(bytes(10_000)))
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "a.bin" in str(e.value) and target.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["a.bin"]

def test_folder_is_a_file(tmp_path):
    (tmp_path/"file").write_text("")
    with pytest.raises(OSError, match="choose another folder"): write_atomic(tmp_path/"file"/"a.bin", lambda f: f.write(b""))

def test_error_of_the_writer_comes_through(tmp_path):
    with pytest.raises(ZeroDivisionError): write_atomic(tmp_path/"a.bin", lambda f: 1 / 0)
    assert list(tmp_path.iterdir()) == []

@pytest.mark.parametrize("inside", ["", "/deeper"])
def test_unwritable_cache(tmp_path, monkeypatch, inside):
    (tmp_path/"file").write_text("")
    monkeypatch.setenv("UPGRADEABILITY_CACHE", str(tmp_path/"file") + inside)
    with pytest.raises(OSError, match="cannot be written to.*Set UPGRADEABILITY_CACHE"): cache_dir()

def test_cache_in_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("UPGRADEABILITY_CACHE", "~/mine")
    assert cache_dir() == tmp_path/"mine" and (tmp_path/"mine").is_dir()

def test_threads_write_one_file(tmp_path):
    from concurrent.futures import ThreadPoolExecutor
    parts = [bytes([i]) * 100_000 for i in range(8)]
    with ThreadPoolExecutor(8) as pool: list(pool.map(lambda b: write_atomic(tmp_path/"a.bin", lambda f: f.write(b)), parts * 4))
    assert (tmp_path/"a.bin").read_bytes() in parts and len(list(tmp_path.iterdir())) == 1
