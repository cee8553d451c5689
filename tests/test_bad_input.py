"What goes wrong at the boundary: what is done, which error, and the words that help out of it."
import os, socket

import numpy as np
import pytest
import torch, torchvision
from PIL import Image
from torch import nn

from upgradeability import evaluate, extract, load_backbone, load_task
from upgradeability.core import cache_dir, check_parameters, import_extra, parse_spec

LITE0 = "bundled:efficientnet_lite0"
RNG = np.random.default_rng(0)
X, Y = RNG.integers(0, 256, (40, 8, 8), dtype=np.uint8), np.arange(40) % 2

class Evil:
    def __reduce__(self): return os.mkdir, ("ran-by-a-pickle",)

def picture_folder(place, *, classes="ab", n=6):
    for i in range(n * len(classes)):
        d = place/"pets"/classes[i % len(classes)]; d.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(d/f"{i}.jpg")
    return place/"pets"

def broken_pictures(place):
    pets = picture_folder(place)
    for name, content in (("a/0.jpg", (pets/"a"/"0.jpg").read_bytes()[:200]), ("b/1.jpg", b"")): (pets/name).write_bytes(content)
    load_task(f"folder:{pets}")

def empty(place): (place/"pets").mkdir(); load_task(f"folder:{place/'pets'}")
def empty_class(place): (picture_folder(place)/"c").mkdir(); load_task(f"folder:{place/'pets'}")
def only_test(place): picture_folder(place/"x").rename(place/"test"); load_task(f"folder:{place}")

def checkpoint(place, state, suffix="pth"):
    torch.save(state, place/f"net.{suffix}")
    return f"file:{place/f'net.{suffix}'}"

def half(place):
    path = checkpoint(place, torchvision.models.resnet18().state_dict())[5:]
    with open(path, "rb+") as f: f.truncate(50_000)
    load_backbone(f"file:{path}:resnet18")

def unwritable(place):
    (place/"file").write_text("")
    os.environ["UPGRADEABILITY_CACHE"] = str(place/"file"/"cache")
    cache_dir()

def nan(place):
    x = RNG.normal(size=(20, 4)); x[13] = np.nan
    extract(load_backbone(nn.Linear(4, 2), device="cpu"), load_task((x, np.arange(20) % 2)), rows=np.arange(10, 20))

def six_by_six(place):
    "More classes than labels are asked for."
    load_task((np.repeat(X, 3, 0)[:60], np.arange(60) % 12), n_train=11)

def run(**parameters): return lambda place: evaluate(parameters.pop("models", LITE0), parameters.pop("tasks", "digits"), out_dir=place/"out", **parameters)

TABLE = [ # what is done, exception, words of the message
    # names
    ("unknown model", lambda p: load_backbone("resnet5O"), ValueError, ["'resnet5O'", "Did you mean 'resnet50'", "Known sources"]),
    ("unknown model among several", run(models=[LITE0, "resnet5O"]), ValueError, ["'resnet5O'", "Did you mean 'resnet50'"]),
    ("unknown source", lambda p: load_backbone("timn:resnet50"), ValueError, ["'timn'", "Did you mean 'timm'", "torchvision"]),
    ("unknown task", lambda p: load_task("cifer10"), ValueError, ["'cifer10'", "Did you mean 'cifar10'", "folder:"]),
    ("unknown task in evaluate", run(tasks="digit"), ValueError, ["Did you mean 'digits'"]),
    ("unknown protocol", run(protocols="linear_prob"), ValueError, ["Unknown protocol 'linear_prob'", "Did you mean 'linear_probe'", "knn"]),
    ("unknown metric", run(metric="acuracy"), ValueError, ["Unknown metric 'acuracy'", "Did you mean 'accuracy'"]),
    ("unknown numeric type", run(dtype="bfloat"), ValueError, ["Unknown dtype 'bfloat'", "Did you mean 'bfloat16'", "float32"]),
    ("unknown parameter", lambda p: check_parameters({"In": ["", "model = 1", "# Parameters\nmodle = 2\n"]}), ValueError, ["Unknown parameter 'modle'", "Did you mean 'model'"]),
    ("unknown option of a model", lambda p: load_backbone("resnet18?sead=0"), ValueError, ["'sead'", "random"]),
    ("unknown option of a task", lambda p: load_task("digits?split_sed=1"), ValueError, ["'split_sed'", "Did you mean 'split_seed'"]),
    ("unknown weights", lambda p: load_backbone("torchvision:resnet18:IMAGENET1K"), ValueError, ["Did you mean 'IMAGENET1K_V1'"]),
    ("unknown layer", lambda p: load_backbone("resnet18?random=0", layer="layer_4", device="cpu"), ValueError, ["Unknown layer 'layer_4'", "Did you mean 'layer4'"]),
    ("path without a source, as a model", lambda p: load_backbone("./net.pth"), ValueError, ["looks like a path", "'file:./net.pth:ARCH'", "'hub:./net.pth:ENTRY'"]),
    ("path without a source, as a task", lambda p: load_task("./pets"), ValueError, ["looks like a path", "'folder:./pets'"]),
    ("spec that names nothing", lambda p: parse_spec("timm:", ["timm"]), ValueError, ["has no name", "source:name"]),
    ("missing extra", lambda p: import_extra("no_such_library", "text"), ImportError, ["no_such_library", "pip install 'upgradeability[text]'"]),
    # no network
    ("weights not here", lambda p: load_backbone("resnet50"), OSError, ["resnet50-11ad3fa6.pth", "checkpoints", LITE0]),
    ("weights of timm not here", lambda p: load_backbone("timm:resnet10t"), OSError, ["model.safetensors", "models--timm--resnet10t", LITE0]),
    ("data not here", lambda p: load_task("cifar10", root=p), OSError, ["cifar-10-python.tar.gz", "cifar-10-batches-py", "folder:PATH"]),
    ("remote code", lambda p: load_backbone("hub:pytorch/vision:resnet50"), ValueError, ["remote repository", "?trust_repo=true"]),
    # checkpoints
    ("checkpoint of another network", lambda p: load_backbone(checkpoint(p, torchvision.models.resnet18().state_dict()) + ":resnet50"), ValueError, ["missing", "mis-shaped", "layer1.0.conv1.weight", "resnet50"]),
    ("pickle that runs code", lambda p: load_backbone(checkpoint(p, {"w": Evil()}) + ":resnet18"), ValueError, ["refused", "run code", "safetensors"]),
    ("half a checkpoint", half, ValueError, ["refused", "damaged", "net.pth"]),
    ("no state dict", lambda p: load_backbone(checkpoint(p, [torch.ones(1)]) + ":resnet18"), ValueError, ["no state dict"]),
    ("no architecture", lambda p: load_backbone(checkpoint(p, {"w": torch.ones(1)})), ValueError, ["architecture", ":resnet50"]),
    ("no checkpoint", lambda p: load_backbone(f"file:{p}/none.pth:resnet18"), FileNotFoundError, ["none.pth"]),
    ("network that is none", lambda p: load_backbone(3), ValueError, ["Unknown model '3'"]),
    # pictures and folders
    ("unreadable pictures", broken_pictures, ValueError, ["2 of 12 pictures", "a/0.jpg", "b/1.jpg", "Replace or remove"]),
    ("no folder", lambda p: load_task(f"folder:{p}/none"), FileNotFoundError, ["no folder", "none"]),
    ("empty folder", empty, ValueError, ["no class folders"]),
    ("empty class", empty_class, ValueError, ["has no pictures", "pets/c"]),
    ("no train folder", only_test, ValueError, ["no train folder"]),
    ("one class only", lambda p: load_task(f"folder:{picture_folder(p, classes='a')}"), ValueError, ["Only one class, 'a'"]),
    ("channels first", lambda p: extract(load_backbone(LITE0, device="cpu"), load_task((np.zeros((20, 3, 8, 8), "u1"), np.arange(20) % 2))), ValueError, ["channels come first", "transpose"]),
    ("floats up to 255", lambda p: extract(load_backbone(LITE0, device="cpu"), load_task((X.astype("f4"), Y))), ValueError, ["from 0 to 255", "x / 255"]),
    # labels and sizes
    ("labels of one class", lambda p: load_task((X, 0 * Y)), ValueError, ["Only one class"]),
    ("class missing from train", lambda p: load_task((X, Y, X, Y + 1)), ValueError, ["'2' is in test but not in train"]),
    ("labels that are floats", lambda p: load_task((X, Y + 0.)), ValueError, ["floats", "y.astype(int)"]),
    ("labels that are missing", lambda p: load_task((X, [None, *Y[1:]])), ValueError, ["missing", "[0]"]),
    ("labels of another length", lambda p: load_task((X, Y[:-1])), ValueError, ["[40, 39]", "equal lengths"]),
    ("single example of a class", lambda p: load_task((X, np.r_[2, Y[1:]])), ValueError, ["'2' has a single example"]),
    ("fewer labels than classes", six_by_six, ValueError, ["n_train=11", "12 labels", "one for each class"]),
    ("more labels than there are", lambda p: load_task("digits", n_train=5000), ValueError, ["n_train=5000", "1347"]),
    ("number that is none", lambda p: load_task("digits", n_train=99.5), ValueError, ["99.5", "whole number"]),
    ("task that is none", lambda p: load_task(3), TypeError, ["'digits'", "(X, y)", "int"]),
    ("features that are no numbers", nan, ValueError, ["example 13", "NaN"]),
    ("unwritable cache", unwritable, OSError, ["cannot be written to", "UPGRADEABILITY_CACHE"]),
]

@pytest.mark.parametrize("do, error, words", [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_message(do, error, words, tmp_path, monkeypatch):
    def refuse(*a, **k): raise socket.gaierror(-2, "Name or service not known")
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for k in list(os.environ):
        if k.lower().endswith("_proxy"): monkeypatch.delenv(k)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path/"hf"))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path/"hub"))
    monkeypatch.setenv("UPGRADEABILITY_CACHE", str(tmp_path/"cache"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as e: do(tmp_path)
    message = str(e.value)
    assert [w for w in words if w not in message] == [], message
    assert not (tmp_path/"out").exists() and not (tmp_path/"ran-by-a-pickle").exists() # nothing was begun, nothing was run
    assert not list((tmp_path/"cache").rglob("*.safetensors"))
    assert len(message) < 1500
