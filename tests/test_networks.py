"Networks of every make: what tells them apart, which tensor counts, and checkpoints as training scripts write them."
import argparse, copy, functools, itertools, subprocess, sys
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import timm, torch, torchvision
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torchvision import transforms as T

from upgradeability.backbones import complete, encode, find_tap, hash_weights
from upgradeability.models import load_backbone

TINY = T.Compose([T.Resize((8, 8)), T.ToTensor()])

def body(): return [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
def tiny(classes=3): return nn.Sequential(*body(), nn.Linear(6, classes))
def load(net, **more): return load_backbone(net, device="cpu", **more)
def seeded(f, seed=0): torch.manual_seed(seed); return f()

# ---------------------------------------------------------------- what tells networks apart

class Holder(nn.Module):
    "Computes with something that PyTorch does not list."
    def __init__(self, held): super().__init__(); self._held = held; self.body = nn.Flatten()
    def forward(self, x): return self.call(self.body(x))
    def call(self, x):
        o = self._held
        o = o["net"] if isinstance(o, dict) else o[0] if isinstance(o, (list, tuple)) else o
        return o(x)

class Client:
    "Weights in an array."
    def __init__(self, w): self.w = w
    def __call__(self, x): return torch.as_tensor(x.numpy() @ self.w)
    def embed(self, x): return self(x)

class Slotted:
    __slots__ = ("__w",)
    def __init__(self, w): self.__w = w
    def __call__(self, x): return x @ self.__w

@dataclass
class Config:
    inner: object
    scale: float = 1.
    def __call__(self, x): return self.inner.embed(x) * self.scale

def closure(w): return lambda x: x @ w
def times(x, w): return x @ w
WEIGHTS = {}
class Global(nn.Module):
    def forward(self, x): return x.flatten(1) @ WEIGHTS["w"]

def linear(): return nn.Linear(12, 4)
def matrix(): return torch.randn(12, 4)
def array(): return np.random.default_rng(int(torch.randint(0, 2**30, ()))).normal(size=(12, 4)).astype(np.float32)

MAKERS = {
    "list": lambda: Holder([linear()]), "dict": lambda: Holder({"net": linear()}), "tuple": lambda: Holder((linear(), 3)), "bound method": lambda: Holder(linear().forward), "client": lambda: Holder(Client(array())),
    "method of a client": lambda: Holder(Client(array()).embed), "slots": lambda: Holder(Slotted(matrix())), "dataclass": lambda: Holder(Config(Client(array()))), "closure": lambda: Holder(closure(matrix())),
    "partial": lambda: Holder(functools.partial(times, w=matrix())), "namespace": lambda: Holder([SimpleNamespace(n=[linear()]).n[0]]), "default": lambda: Holder(eval("lambda x, w=w: x @ w", {"w": matrix()})),
    "quantised": lambda: torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Flatten(), linear()), {nn.Linear}), "scripted": lambda: torch.jit.script(nn.Sequential(nn.Flatten(), linear())),
    "traced": lambda: torch.jit.trace(nn.Sequential(nn.Flatten(), linear()).eval(), torch.zeros(2, 3, 2, 2)), "hook": lambda: hooked(matrix()), "compiled": lambda: nn.Sequential(nn.Flatten(), torch.compile(linear())),
    "array in a list": lambda: Holder([closure(torch.as_tensor(array()))]), "cached": lambda: Holder(functools.lru_cache(closure(matrix()))), "double": lambda: nn.Sequential(nn.Flatten(), linear().double(), nn.Linear(4, 2).double()),
}

def hooked(w):
    net = nn.Sequential(nn.Flatten())
    net.register_forward_hook(lambda m, a, out: out @ w)
    return net

@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_weights_are_seen_wherever_they_are(name):
    a, same, b = (seeded(MAKERS[name], s) for s in (0, 0, 1))
    assert hash_weights(a) == hash_weights(same) != hash_weights(b)
    x = torch.rand(2, 3, 2, 2)
    if name == "compiled": return # what it gives is not in question
    one, two = (complete(load(n), x) for n in (a, b))
    with torch.inference_mode(): given = [torch.cat([t for t in b.encode(b.module, x) if t is not None], 1) for b in (one, two)]
    assert not torch.allclose(*given)
    assert one.fingerprint != two.fingerprint and one.spec != two.spec and "cache" not in one.reading

def test_global_values_count(monkeypatch):
    prints = []
    for s in (0, 1):
        monkeypatch.setitem(WEIGHTS, "w", seeded(matrix, s))
        prints.append(load(Global()).fingerprint)
    assert prints[0] != prints[1]

def test_class_values_count():
    def make(value): return type("Net", (nn.Module,), {"w": value, "forward": lambda self, x: x * self.w})()
    assert hash_weights(make(torch.ones(2))) == hash_weights(make(torch.ones(2))) != hash_weights(make(torch.zeros(2)))

class Stubborn:
    "Shows nothing of what it computes with, and can be copied."
    def __init__(self, w): self.gen = (w for _ in itertools.count())
    def __deepcopy__(self, memo): return self
    def __call__(self, x): return x @ next(self.gen)

class Remote:
    "Answers from elsewhere."
    def __init__(self, url): self.url = url
    def __call__(self, x):
        import requests
        return torch.tensor(requests.post(self.url, json=x.tolist()).json())

@pytest.mark.parametrize("make", [lambda: Stubborn(torch.ones(12, 4)), lambda: Remote("http://localhost/a")], ids=["generator", "client"])
def test_what_cannot_be_described_is_never_shared(make):
    net = Holder(make())
    one, again, other = load(net), load(net), load(Holder(make()))
    assert len({one.fingerprint, again.fingerprint, other.fingerprint}) == 3 and one.spec == again.spec != other.spec
    assert "features are not reused" in one.reading["cache"]

@pytest.mark.parametrize("make", [MAKERS["list"], MAKERS["client"], lambda: Holder(Stubborn(torch.randn(12, 4)))], ids=["list", "client", "opaque"])
def test_features_are_those_of_the_network(make, tmp_path, monkeypatch):
    "Two networks that look alike, on one task and one cache."
    from upgradeability import extract, load_task
    monkeypatch.setenv("UPGRADEABILITY_CACHE", str(tmp_path))
    rng = np.random.default_rng(0)
    x, y = rng.random((12, 12), np.float32), np.arange(12) % 2
    task = load_task((x[:8], y[:8], x[8:], y[8:]))
    for s in (0, 1):
        net = seeded(make, s)
        with torch.inference_mode(): known = net(torch.as_tensor(x))
        got = extract(load(net), task, dtype="float32")
        made = got.x if got.source_probs is None else got.source_probs
        assert np.allclose(made, (known if got.source_probs is None else known.softmax(1)).numpy()[got.ids], atol=1e-5)

@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tiny_library_networks_can_be_described():
    from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTModel
    small = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8)
    for make in (lambda: Dinov2Model(Dinov2Config(**small)), lambda: ViTModel(ViTConfig(**small)), lambda: timm.create_model("mobilenetv3_small_050"), lambda: timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2),
                 lambda: torchvision.models.mobilenet_v3_small()):
        a, same = seeded(make), seeded(make)
        b = load(a, preprocess=T.Compose([T.Resize((32, 32)), T.ToTensor()]))
        assert hash_weights(a) == hash_weights(same) == hash_weights(copy.deepcopy(a)) and "cache" not in b.reading

def test_equal_in_another_process():
    code = ("import torch; from torch import nn; from torchvision import transforms as T; from upgradeability.models import load_backbone; torch.manual_seed(0); "
            "n = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)); n.extra = {'more': [nn.Linear(2, 2)], 'set': {'b', 'a', 'c'}}; "
            "print(load_backbone(n, preprocess=T.Compose([T.Resize((8, 8)), T.ToTensor()]), device='cpu').fingerprint)")
    prints = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()[-1] for _ in range(2)}
    assert len(prints) == 1

def test_parts_that_pytorch_does_not_list_are_evaluated():
    class InList(nn.Module):
        def __init__(self): super().__init__(); self.layers = [nn.Dropout(.5), nn.Linear(4, 2).half().double()]
        def forward(self, x):
            for f in self.layers: x = f(x.to(f.weight.dtype if hasattr(f, "weight") else x.dtype))
            return x
    net = InList()
    b = complete(load(net), torch.rand(4, 4))
    with torch.inference_mode(): assert torch.equal(b.encode(b.module, torch.ones(4, 4))[0], b.encode(b.module, torch.ones(4, 4))[0])
    assert net.layers[0].training and "unlisted parts" in b.reading

# ---------------------------------------------------------------- preprocessing

def shrunk(size):
    def f(p): p.thumbnail((size, size)); return T.functional.resize(T.functional.to_tensor(p), (8, 8), antialias=True)
    return f

class By:
    "A callable object with an attribute."
    def __init__(self, f, limit): self.f, self.limit = f, limit
    def __call__(self, p): return TINY(self.f(p) if max(p.size) > self.limit else p)

class Secret:
    "What it does cannot be seen."
    def __init__(self, size): self.sizes = itertools.repeat(size) if size else (n for n in [1, 2])
    def __call__(self, p): return TINY(p)

PAIRS = {"thumbnail": (shrunk(400), shrunk(200)), "huge": (shrunk(4000), shrunk(3000)), "limit": (By(lambda p: p.rotate(90), 5000), By(lambda p: p.rotate(90), 6000)),
         "oblong": (lambda p: TINY(p.crop((0, 0, *p.size)) if p.width > 9 * p.height else p), lambda p: TINY(p.crop((0, 0, 9, 9)) if p.width > 9 * p.height else p)), "deed": (By(lambda p: p.rotate(90), 10), By(lambda p: p.rotate(180), 10))}

@pytest.mark.parametrize("name", PAIRS)
def test_preprocessings_that_differ_on_some_pictures(name):
    net = tiny()
    a, b = (load(net, preprocess=p) for p in PAIRS[name])
    assert a.fingerprint != b.fingerprint and load(net, preprocess=PAIRS[name][0]).fingerprint == a.fingerprint

def test_preprocessing_that_cannot_be_described():
    net, f = tiny(), Secret(0)
    a, b = load(net, preprocess=f), load(net, preprocess=f)
    assert a.fingerprint != b.fingerprint and "features are not reused" in a.reading["cache"]

def test_random_crops_of_large_pictures():
    with pytest.raises(ValueError, match="deterministic"): load(tiny(), preprocess=T.Compose([T.RandomCrop(1000), T.Resize((8, 8)), T.ToTensor()]))

# ---------------------------------------------------------------- the head

class Head(nn.Module):
    "A body, a linear layer, and what comes behind it."
    def __init__(self, after, classes=3): super().__init__(); self.body, self.fc, self.after = nn.Sequential(*body()), nn.Linear(6, classes), after
    def forward(self, x): return self.after(self.fc(self.body(x)))

AFTER = {"temperature": (lambda o: o / 1.7, lambda o: (o / 1.7).softmax(1)), "softmax of a temperature": (lambda o: (3 * o).softmax(1), lambda o: (3 * o).softmax(1)), "log-softmax of a temperature": (lambda o: (.2 * o).log_softmax(1), lambda o: (.2 * o).softmax(1)),
         "sigmoid": (torch.sigmoid, torch.sigmoid), "sigmoid of a temperature": (lambda o: (o / 2).sigmoid(), lambda o: (o / 2).sigmoid()), "log-sigmoid": (F.logsigmoid, torch.sigmoid),
         "temperature and constant": (lambda o: 5 * o - 10, lambda o: (5 * o).softmax(1))}

@pytest.mark.parametrize("name", AFTER)
def test_heads_with_something_behind(name):
    after, known = AFTER[name]
    net, x = seeded(lambda: Head(after)).eval(), torch.randn(5, 3, 8, 8)
    with torch.inference_mode():
        tap = find_tap(net, x)
        features, probs = encode(net, x, tap)
        assert tap.layer == "fc" and torch.allclose(features, net.body(x)) and torch.allclose(probs, known(net.fc(net.body(x))), atol=1e-5)

class Cosine(nn.Module):
    def __init__(self, d=6, classes=3, scale=16.): super().__init__(); self.weight, self.scale = nn.Parameter(torch.randn(classes, d)), scale
    def forward(self, x): return self.scale * F.normalize(x) @ F.normalize(self.weight).T

class CosineInside(nn.Module):
    "The layer's weights are used, the layer is not called."
    def __init__(self): super().__init__(); self.body, self.fc = nn.Sequential(*body()), nn.Linear(6, 3, bias=False)
    def forward(self, x): return 30 * F.linear(F.normalize(self.body(x)), F.normalize(self.fc.weight))

class InList(nn.Module):
    def __init__(self): super().__init__(); self.body, self.heads = nn.Sequential(*body()), [nn.Linear(6, 3)]
    def forward(self, x): return self.heads[0](self.body(x))

class ByProduct(nn.Module):
    def __init__(self): super().__init__(); self.body, self.w = nn.Sequential(*body()), nn.Parameter(torch.randn(6, 3))
    def forward(self, x): return 10 * torch.matmul(F.normalize(self.body(x)), F.normalize(self.w, dim=0))

class ZeroShot(nn.Module):
    "The names of the classes as vectors, as CLIP is used."
    def __init__(self): super().__init__(); self.body, self.texts = nn.Sequential(*body()), nn.Parameter(F.normalize(torch.randn(3, 6)))
    def forward(self, x): return 100. * F.normalize(self.body(x)) @ self.texts.t()

@pytest.mark.parametrize("make, normed", [(lambda: nn.Sequential(*body(), Cosine()), False), (CosineInside, True), (ByProduct, True), (ZeroShot, 100), (InList, False)], ids=["module", "functional", "product", "zero-shot", "in a list"])
def test_cosine_heads_and_heads_in_lists(make, normed):
    net, x = seeded(make).eval(), torch.randn(5, 3, 8, 8)
    features = (net[:4] if isinstance(net, nn.Sequential) else net.body)(x)
    b = complete(load(net), x)
    with torch.inference_mode():
        got, probs = b.encode(b.module, x)
        assert b.head is not None and torch.allclose(got, F.normalize(features) * int(normed) if normed else features, atol=1e-4) and torch.allclose(probs, net(x).softmax(1), atol=1e-5)

@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_quantised_head():
    net, x = torch.ao.quantization.quantize_dynamic(seeded(tiny).eval(), {nn.Linear}), torch.randn(4, 3, 8, 8)
    b = load(net, preprocess=TINY)
    with torch.inference_mode(): assert b.head == "4" and b.dim == 6 and torch.allclose(b.encode(b.module, x)[1], net(x).softmax(1), atol=1e-5)

@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_statically_quantised_network():
    q = torch.ao.quantization
    net = nn.Sequential(q.QuantStub(), *seeded(tiny), q.DeQuantStub()).eval()
    net.qconfig = q.get_default_qconfig(next(e for e in ("fbgemm", "qnnpack") if e in torch.backends.quantized.supported_engines))
    ready = q.prepare(net)
    ready(torch.rand(8, 3, 8, 8))
    done, x = q.convert(ready), torch.rand(4, 3, 8, 8)
    b = load(done, preprocess=TINY)
    with torch.inference_mode(): assert b.head == "5" and torch.allclose(b.encode(b.module, x)[1], done(x).softmax(1), atol=1e-6)
    assert hash_weights(done) == hash_weights(copy.deepcopy(done)) and "cache" not in b.reading

@pytest.mark.parametrize("after", [lambda o: o, torch.sigmoid, lambda o: o[:, 0], lambda o: o.squeeze(), lambda o: F.logsigmoid(o)], ids=["logit", "sigmoid", "column", "squeezed", "log"])
def test_one_output(after):
    net = seeded(lambda: Head(after, 1)).eval()
    b = load(net, preprocess=TINY)
    x = torch.randn(4, 3, 8, 8)
    with torch.inference_mode():
        assert (b.head, b.dim) == ("fc", 6) and torch.allclose(b.encode(b.module, x)[1], net.fc(net.body(x)).sigmoid(), atol=1e-5)
        assert b.encode(b.module, x[:1])[1].shape == (1, 1)

def test_squeezed_batch_of_one():
    net, x = seeded(lambda: Head(torch.squeeze)).eval(), torch.randn(4, 3, 8, 8)
    b = load(net, preprocess=TINY)
    with torch.inference_mode():
        for n in (1, 4): assert [t.shape for t in b.encode(b.module, x[:n])] == [(n, 6), (n, 3)]

# ---------------------------------------------------------------- which of several tensors

Wrong = (RuntimeError,)
CHOICES = {"loss first": lambda f, o: (o.mean(), o), "losses first": lambda f, o: (o.mean(1), o), "dict with a loss": lambda f, o: {"loss": o.mean(), "logits": o}, "losses in a dict": lambda f, o: {"loss": o.mean(1), "answers": o},
           "features first": lambda f, o: (f, o), "features and logits": lambda f, o: {"features": f, "logits": o}, "nested": lambda f, o: {"outputs": {"aux": o * 2 + f.mean(), "main": o}}, "attributes": lambda f, o: SimpleNamespace(loss=o.mean(), scores=o)}

class Several(nn.Module):
    def __init__(self, pack): super().__init__(); self.body, self.fc, self.pack = nn.Sequential(*body()), nn.Linear(6, 3), pack
    def forward(self, x):
        f = self.body(x)
        return self.pack(f, self.fc(f))

@pytest.mark.parametrize("name", CHOICES)
def test_the_logits_among_several_tensors(name):
    net, x = seeded(lambda: Several(CHOICES[name])).eval(), torch.randn(5, 3, 8, 8)
    b = load(net, preprocess=TINY)
    with torch.inference_mode():
        features, probs = b.encode(b.module, x)
        assert b.head == "fc" and torch.allclose(features, net.body(x)) and torch.allclose(probs, net.fc(net.body(x)).softmax(1), atol=1e-6)

def test_embedding_beside_the_logits():
    class Net(nn.Module):
        def __init__(self): super().__init__(); self.body, self.emb, self.fc = nn.Sequential(*body()), nn.Linear(6, 5), nn.Linear(5, 3)
        def forward(self, x): e = self.emb(self.body(x)); return e, self.fc(e)
    tap = find_tap(Net().eval(), torch.randn(4, 3, 8, 8))
    assert (tap.layer, tap.output) == ("fc", "1")

def test_two_answers_are_an_error_with_a_way_out():
    class Net(nn.Module):
        def __init__(self): super().__init__(); self.body, self.age, self.sex = nn.Sequential(*body()), nn.Linear(6, 5), nn.Linear(6, 2)
        def forward(self, x): f = self.body(x); return {"age": self.age(f), "sex": self.sex(f)}
    with pytest.raises(ValueError, match=r"age \(2, 5\), sex \(2, 2\).*layer=.*wrap"): load(Net(), preprocess=TINY)
    b = load(Net(), preprocess=TINY, layer="body")
    assert b.dim == 6 and b.head is None

@pytest.mark.parametrize("out", [lambda o: o.argmax(1), lambda o: o.mean(), lambda o: {"loss": o.mean()}, lambda o: [], lambda o: None])
def test_no_tensor_that_counts(out):
    with pytest.raises(TypeError, match="The network returns"): find_tap(Head(out), torch.randn(4, 3, 8, 8))

def small_transformer(which, **more):
    import transformers
    small = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8)
    return getattr(transformers, f"{which}Model")(getattr(transformers, f"{which}Config")(**small), **more).eval()

@pytest.mark.parametrize("which, more", [("Dinov2", {}), ("ViT", {}), ("ViT", dict(add_pooling_layer=False))])
def test_transformers_give_one_vector(which, more):
    net, x = small_transformer(which, **more), torch.randn(2, 3, 32, 32)
    b = load(net, preprocess=T.Compose([T.Resize((32, 32)), T.ToTensor()]))
    with torch.inference_mode():
        out = net(x)
        known = out.pooler_output if out.pooler_output is not None else out.last_hidden_state[:, 0]
        assert b.dim == 16 and torch.allclose(b.encode(b.module, x)[0], known, atol=1e-5)
    assert any(e.about == "head" for e in b.reading.findings) and "output" in b.reading

def test_maps_of_several_stages():
    net, x = timm.create_model("mobilenetv3_small_050", features_only=True).eval(), torch.randn(2, 3, 64, 64)
    b = load(net, preprocess=T.Compose([T.Resize((64, 64)), T.ToTensor()]))
    with torch.inference_mode(): assert torch.allclose(b.encode(b.module, x)[0], net(x)[-1].mean((2, 3)), atol=1e-5)

def test_segmentation_and_tokens():
    net = torchvision.models.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode(): assert torch.allclose(encode(net, x, find_tap(net, x))[0], net(x)["out"].mean((2, 3)), atol=1e-5)
    vit = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, num_classes=0, global_pool="").eval()
    with torch.inference_mode(): assert torch.allclose(encode(vit, x, find_tap(vit, x))[0], vit(x)[:, 0], atol=1e-5)

def test_no_head_is_said():
    b = load(timm.create_model("mobilenetv3_small_050", num_classes=0), preprocess=TINY)
    assert b.head is None and any(e.about == "head" for e in b.reading.findings)
    for about in ("features", "input", "parameters"): assert about in b.reading

# ---------------------------------------------------------------- forms of a network

def test_wrappers_are_taken_off():
    net = seeded(tiny)
    plain = load(net, preprocess=TINY)
    for wrapped in (nn.DataParallel(net), torch.compile(net), torch.compile(nn.DataParallel(net))):
        b = load(wrapped, preprocess=TINY)
        assert b.fingerprint == plain.fingerprint and b.spec == plain.spec and (b.head, b.dim) == ("4", 6) and "wrapper" in b.reading

@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_network():
    net, x = seeded(tiny).eval(), torch.randn(3, 3, 8, 8)
    b = load(torch.jit.script(net), preprocess=TINY)
    assert b.head is None and b.dim == 3 and "scripted" in b.reading
    named = load(torch.jit.script(net), preprocess=TINY, classes="abc")
    with torch.inference_mode(): assert named.head_classes == tuple("abc") and torch.allclose(named.encode(named.module, x)[1], net(x).softmax(1), atol=1e-6)

def test_networks_without_weights_yet():
    with pytest.raises(ValueError, match="2 lazy weights.*run the network once"): load(nn.Sequential(nn.Flatten(), nn.LazyLinear(3)))
    with pytest.raises(ValueError, match="4 weights on the device 'meta'.*load the checkpoint"): load(tiny().to("meta"))

# ---------------------------------------------------------------- checkpoints

def resnet(classes=7, seed=0): return seeded(lambda: timm.create_model("resnet10t", num_classes=classes), seed)
def spec(path, **options): return f"file:{path}:timm.resnet10t" + ("?" + "&".join(f"{k}={v}" for k, v in options.items()) if options else "")
def prefixed(state, prefix): return {prefix + k: v for k, v in state.items()}
def save(tmp_path, content): torch.save(content, tmp_path/"a.pth"); return tmp_path/"a.pth"
def has(b, net): own = b.module.state_dict(); return all(torch.equal(own[k], v) for k, v in net.state_dict().items() if k in own)

PREFIXES = ["module.", "model.", "backbone.", "encoder.", "net.", "student.", "_orig_mod.module.", "module._orig_mod.model.", "model.backbone.net.", "something.else."]
WRAPPERS = ["", "state_dict", "model", "net", "model_state_dict", "ema", "whatever"]

@pytest.mark.parametrize("prefix, wrapper", [*((p, "") for p in PREFIXES), *((PREFIXES[-2], w) for w in WRAPPERS[1:])])
def test_wrappers_and_prefixes(prefix, wrapper, tmp_path):
    net = resnet()
    state = prefixed(net.state_dict(), prefix)
    path = save(tmp_path, {"epoch": 3, "args": argparse.Namespace(lr=.1), "best": np.float64(.5), wrapper: state} if wrapper else state)
    b = load_backbone(spec(path), device="cpu")
    assert has(b, net) and b.encode(b.module, torch.randn(2, 3, 64, 64))[1].shape == (2, 7) and repr(prefix) in b.reading["weights"]

@pytest.mark.parametrize("names", [("state_dict", "state_dict_ema"), ("model", "model_ema"), ("model", "ema"), ("net", "ema_state_dict")])
def test_averaged_weights_first(names, tmp_path):
    net, ema = resnet(seed=0), resnet(seed=1)
    path = save(tmp_path, {names[0]: net.state_dict(), names[1]: prefixed(ema.state_dict(), "module.")})
    first, second = load_backbone(spec(path), device="cpu"), load_backbone(spec(path, ema="false"), device="cpu")
    assert has(first, ema) and has(second, net) and names[1] in first.reading["weights"] and names[1] in second.reading["weights not used"] and first.spec != second.spec

def test_averaged_weights_as_timm_takes_them(tmp_path):
    from timm.models import load_state_dict
    path = save(tmp_path, {"state_dict": resnet(seed=0).state_dict(), "state_dict_ema": resnet(seed=1).state_dict(), "model_ema": resnet(seed=2).state_dict()})
    known = load_state_dict(str(path))
    assert all(torch.equal(v, known[k]) for k, v in load_backbone(spec(path), device="cpu").module.state_dict().items())

def headless(net): return {k: v for k, v in net.state_dict().items() if not k.startswith("fc.")}

def moco():
    q, k = resnet(seed=0), resnet(seed=1)
    project = {"fc.0.weight": torch.ones(4, 4), "fc.2.weight": torch.ones(4, 4)}
    return q, {"arch": "resnet10t", "state_dict": {**prefixed(headless(q) | project, "module.encoder_q."), **prefixed(headless(k) | project, "module.encoder_k."), "module.queue": torch.ones(4)}}

def dino():
    student, teacher = resnet(seed=0), resnet(seed=1)
    wrapped = lambda net: prefixed(headless(net), "module.backbone.") | {"module.head.mlp.0.weight": torch.ones(3)}
    return teacher, {"student": wrapped(student), "teacher": wrapped(teacher), "args": argparse.Namespace(arch="x")}

def byol():
    online, target = resnet(seed=0), resnet(seed=1)
    return online, {"state_dict": {**prefixed(headless(online), "online_encoder.net."), **prefixed(headless(target), "target_encoder.net."), "predictor.0.weight": torch.ones(3)}}

@pytest.mark.parametrize("make", [moco, dino, byol, lambda: (resnet(), headless(resnet()))], ids=["moco", "dino", "byol", "plain"])
def test_checkpoints_without_a_head(make, tmp_path):
    net, content = make()
    b = load_backbone(spec(save(tmp_path, content)), device="cpu")
    assert has(b, net) and b.head is None and b.dim == 512 and any("no head" in e.value for e in b.reading.findings)

def test_torchvision_without_a_head(tmp_path):
    for arch, dim in (("resnet18", 512), ("squeezenet1_1", 512), ("mobilenet_v3_small", 1024)):
        net = torchvision.models.get_model(arch)
        last = list(net.state_dict())[-2].rpartition(".")[0]
        path = save(tmp_path, {k: v for k, v in net.state_dict().items() if not k.startswith((last + ".",))} if arch != "squeezenet1_1" else {k: v for k, v in net.state_dict().items() if "classifier" not in k})
        b = load_backbone(f"file:{path}:{arch}", device="cpu")
        assert b.dim == dim and b.head is None

def test_a_weight_of_the_body_is_missing(tmp_path):
    state = headless(resnet())
    for k in ("layer1.0.conv1.weight", "layer2.0.conv1.weight"): state.pop(k)
    with pytest.raises(ValueError, match=r"2 missing \(layer1.0.conv1.weight, layer2.0.conv1.weight\)"): load_backbone(spec(save(tmp_path, {"state_dict": prefixed(state, "encoder.")})), device="cpu")

def test_a_deeper_body_is_refused(tmp_path):
    state = {k: v for k, v in torchvision.models.resnet34().state_dict().items() if not k.startswith("fc.")}
    with pytest.raises(ValueError, match="unexpected.*layer1.2"): load_backbone(f"file:{save(tmp_path, state)}:resnet18", device="cpu")

def test_two_sets_of_weights(tmp_path):
    a, b = resnet(seed=0), resnet(seed=1)
    path = save(tmp_path, {**prefixed(a.state_dict(), "left."), **prefixed(b.state_dict(), "right.")})
    with pytest.raises(ValueError, match=r"several sets.*\?prefix="): load_backbone(spec(path), device="cpu")
    assert has(load_backbone(spec(path, prefix="right."), device="cpu"), b)
    with pytest.raises(ValueError, match="begin with 'middle.'"): load_backbone(spec(path, prefix="middle."), device="cpu")

def test_keys_are_listed(tmp_path):
    with pytest.raises(ValueError, match=r"contains no state dict.*epoch \(int\), note \(str\)"): load_backbone(spec(save(tmp_path, {"epoch": 3, "note": "a"})))
    with pytest.raises(ValueError, match=r"does not fit.*The file contains: optimizer"): load_backbone(spec(save(tmp_path, {"optimizer": {"x": torch.ones(2)}})))

def test_own_size_and_input_transform(tmp_path):
    net = torchvision.models.inception_v3(weights=None, num_classes=4, init_weights=False, aux_logits=False).eval()
    path = save(tmp_path, net.state_dict())
    b = load_backbone(f"file:{path}:inception_v3", device="cpu")
    assert b.preprocess(Image.new("RGB", (400, 400))).shape == (3, 299, 299) and b.module.transform_input and "299" in " ".join(b.reading.texts)
    assert not load_backbone(f"file:{path}:inception_v3?transform_input=false", device="cpu").module.transform_input

@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_file(tmp_path):
    torch.jit.script(tiny()).save(str(tmp_path/"a.pt"))
    with pytest.raises(ValueError, match="TorchScript.*torch.jit.load"): load_backbone(spec(tmp_path/"a.pt"))

# ---------------------------------------------------------------- PyTorch Hub

@pytest.mark.parametrize("name", ["owner/repo", "repo", "owner/repo:main"])
def test_a_folder_of_that_name_is_not_run(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path/"torch")); monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    folder = tmp_path/name
    folder.mkdir(parents=True)
    (folder/"hubconf.py").write_text(f"open({str(tmp_path/'ran')!r}, 'w').close()\nimport torch\ndef net(pretrained=False): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))")
    with pytest.raises(ValueError, match=r"hub:\./"): load_backbone(f"hub:{name}:net")
    assert not (tmp_path/"ran").exists()
    if ":" not in name: assert load_backbone(f"hub:./{name}:net", device="cpu") and (tmp_path/"ran").exists()

def test_torchs_own_list_of_trust(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path)); monkeypatch.setattr(torch.hub, "_hub_dir", None)
    folder = tmp_path/"hub"/"owner_repo_main"
    folder.mkdir(parents=True)
    (folder/"hubconf.py").write_text("import torch\ndef net(pretrained=False): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))")
    with pytest.raises(ValueError, match="trust_repo=true"): load_backbone("hub:owner/repo:main:net")
    (tmp_path/"hub"/"trusted_list").write_text("owner_repo\n")
    assert load_backbone("hub:owner/repo:main:net", device="cpu").spec == "hub:owner/repo:main:net"

# ---------------------------------------------------------------- as it is

def detector(positive_first=False, after=lambda o: o):
    "Knows that bright rows are of the class that comes second (or first)."
    net = Detector(after)
    net.fc.weight.data.fill_(-1. if positive_first else 1.); net.fc.bias.data.fill_(2. if positive_first else -2.)
    return net

class Detector(nn.Module):
    def __init__(self, after): super().__init__(); self.fc, self.after = nn.Linear(4, 1), after
    def forward(self, x): return self.after(self.fc(x))

def bright(names=("a", "b"), n=40):
    from upgradeability import load_task
    rng = np.random.default_rng(0)
    y = np.arange(n) % 2
    x = (rng.random((n, 4)) * .4 + y[:, None] * .6).astype(np.float32)
    labels = np.array(names)[y]
    return load_task((x[:20], labels[:20], x[20:], labels[20:]))

def asked(net, task, class_map=None, classes=None):
    from upgradeability import extract
    from upgradeability.protocols import as_is
    return as_is(load(net, classes=classes), task, lambda b: extract(b, task, dtype="float32"), class_map=class_map)["test"]

def accuracy(p): return float((p.pred == p.y).mean())

@pytest.mark.parametrize("after", [lambda o: o, torch.sigmoid, lambda o: o.squeeze(1), lambda o: 5 * o], ids=["logit", "sigmoid", "squeezed", "temperature"])
def test_a_detector_is_asked_as_it_is(after):
    p = asked(detector(after=after), bright())
    assert accuracy(p) == 1 and p.scores.shape == (20, 2) and np.allclose(p.scores.sum(1), 1, atol=1e-6)
    assert any("probability of 'b' (assumed" in n for n in p.meta["notes"])

@pytest.mark.parametrize("class_map, classes", [({"a": [0], "b": []}, None), ({"a": 0}, None), ({"a": [1], "b": [0]}, None), (None, ["a"]), (None, ["b", "a"]), ({"a": ["a"], "b": ["b"]}, ["b", "a"])])
def test_which_class_is_positive(class_map, classes):
    p = asked(detector(positive_first=True), bright(), class_map, classes)
    assert accuracy(p) == 1 and any("probability of 'a' (by" in n for n in p.meta["notes"])

def test_a_detector_and_other_tasks():
    from upgradeability import load_task
    x = np.random.default_rng(0).random((30, 4)).astype(np.float32)
    three = load_task((x[:21], list("abc" * 7), x[21:], list("abc" * 3)))
    with pytest.raises(ValueError, match="one output, which can separate two classes.*3"): asked(detector(), three)
    with pytest.raises(ValueError, match="does not say which class the one output"): asked(detector(), bright(), {"a": [0], "b": [0]})
    with pytest.raises(ValueError, match="Unknown class in class_map 'c'"): asked(detector(), bright(), {"c": [0]})

def test_independent_outputs_are_probabilities():
    net = nn.Sequential(nn.Linear(4, 2), nn.Sigmoid())
    p = asked(net, bright(), classes=["a", "b"])
    assert (p.scores.sum(1) <= 1.001).all()

def test_protocols_of_ones_own_are_told_apart():
    from upgradeability.evaluation import _code
    def make(w):
        def protocol(backbone, task, features, *, seed=0): return w
        return protocol
    assert _code(make(np.ones(2))) == _code(make(np.ones(2))) != _code(make(np.zeros(2)))
    generator = (n for n in range(3))
    assert _code(make(generator)) != _code(make(generator))

def test_weights_that_change_after_loading(tmp_path, monkeypatch):
    from upgradeability import extract
    monkeypatch.setenv("UPGRADEABILITY_CACHE", str(tmp_path))
    b, task = load(nn.Linear(4, 3)), bright()
    first = extract(b, task, dtype="float32")
    b.module.weight.data.mul_(-1)
    second = extract(b, task, dtype="float32")
    known = (torch.as_tensor(np.asarray(task.inputs.items)) @ b.module.weight.T + b.module.bias).softmax(1)
    assert not np.allclose(first.source_probs, second.source_probs) and np.allclose(second.source_probs, known.numpy()[second.ids], atol=1e-5)
    assert load_backbone(b).fingerprint != b.fingerprint

def test_options_of_files(tmp_path):
    with pytest.raises(ValueError, match="ema='maybe' should be true or false"): load_backbone(spec(save(tmp_path, {}), ema="maybe"))

def test_a_network_in_a_closure_stays_as_it_is():
    "A copy of the outer network shares it with the user."
    inner = nn.Sequential(nn.Flatten(), nn.Dropout(.5), nn.Linear(12, 4)).double().train()
    net = Holder(lambda x: inner(x.double()).float())
    b = load(net)
    assert inner.training and inner[1].training and inner[2].weight.dtype == torch.float64 and inner[2].weight.requires_grad
    assert any("training mode" in e.value for e in b.reading.findings)
    assert load(Holder(lambda x: inner(x.double()).float())).fingerprint == b.fingerprint
    inner[2].weight.data.mul_(2)
    assert load(net).fingerprint != b.fingerprint
