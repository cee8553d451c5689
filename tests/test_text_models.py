"Text models are called as their authors call them: `encode` of sentence-transformers and `forward` of transformers are the oracles."
import json, os

import numpy as np, pytest, torch

pytest.importorskip("transformers", reason="needs the extra `text`")
import transformers as hf
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel

from upgradeability import evaluate, extract, load_backbone
from upgradeability.features import model_inputs
from upgradeability.models import randomize
from upgradeability.media import Inputs, digest
from upgradeability.tasks import make_task
from upgradeability.texts import text_inputs

WORDS = "query : passage the cat sat on mat a dog where is my card Big Dog snow and ice hello world end rain".split()
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys(WORDS)]
TEXTS = ["the cat sat on the mat", "a dog", "where is my card", "rain " * 20, "a", "hello world", "snow and ice", "the Big Dog end"]
SIZE = dict(vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)

def make_tokenizer(marks=True, limit=None, lower=False, **more):
    "Whole words; `marks`: [CLS] and [SEP] around a text."
    numbers = {w: i for i, w in enumerate(VOCABULARY)}
    own = Tokenizer(WordLevel(numbers, unk_token="[UNK]"))
    own.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if lower: own.normalizer = normalizers.Lowercase()
    special = [("[CLS]", 2), ("[SEP]", 3)]
    if marks: own.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=special)
    names = dict(pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token=None) | more
    return hf.PreTrainedTokenizerFast(tokenizer_object=own, **({"model_max_length": limit} if limit else {}), **names)

def save(folder, network, **tokens):
    network.eval().save_pretrained(folder)
    tokenizer = make_tokenizer(**tokens)
    tokenizer.save_pretrained(folder)
    return folder

def bert(**more): return hf.BertModel(hf.BertConfig(**SIZE | dict(max_position_embeddings=64) | more))

def task_of(texts):
    texts = list(texts)
    half = len(texts) // 2
    digests = np.array([digest(repr(t).encode()) for t in texts], np.uint64)
    items = text_inputs(texts) if isinstance(texts[0], str) else Inputs(texts, tuple, digests)
    return make_task("t", items, np.arange(len(texts)) % 2, dict(train=range(half), test=range(half, len(texts))), medium="text")

def features(spec, texts=TEXTS, **options):
    "Features in the order of the texts, all in few batches."
    backbone = load_backbone(spec, device="cpu", **options)
    return extract(backbone, task_of(texts), rows=range(len(texts)), batch_size=4, dtype="float32")

@pytest.fixture(autouse=True)
def same_weights(tmp_path, monkeypatch):
    "And a cache of its own for each test: equal weights would find the features of another one."
    torch.manual_seed(3)
    monkeypatch.setenv("UPGRADEABILITY_CACHE", str(tmp_path/"cache"))

# --- sentence-transformers

def sentence_model(folder, parts, prompts=None, default=None, network=None, limit=None, lower=False, **tokens):
    "A folder of sentence-transformers: a transformer, then `parts` for 16 numbers."
    base = save(folder/"base", network or bert(), **tokens)
    first = Transformer(str(base), max_seq_length=limit, do_lower_case=lower)
    SentenceTransformer(modules=[first, *parts], prompts=prompts, default_prompt_name=default, device="cpu").save(str(folder/"model"))
    return folder/"model"

def is_encode(spec, folder, texts=TEXTS, **call):
    truth = SentenceTransformer(str(folder), device="cpu").encode(list(texts), batch_size=3, **call)
    found = features(spec, texts)
    np.testing.assert_allclose(found.x, truth, atol=2e-5)
    return found.meta["reading"]

PROMPTS = dict(query="query: ", passage="passage: the ")

@pytest.mark.parametrize("mode", ["mean", "cls", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens", ("cls", "mean")])
def test_every_pooling_equals_encode(tmp_path, mode):
    folder = sentence_model(tmp_path, [Pooling(16, mode)])
    reading = is_encode(f"st:{folder}", folder)
    assert f"pooling: {mode if isinstance(mode, str) else 'cls and mean'}" in reading["features"]

def test_dense_and_normalised(tmp_path):
    folder = sentence_model(tmp_path, [Pooling(16), Dense(16, 5), Normalize()])
    assert "Dense, Normalize" in is_encode(f"st:{folder}", folder)["features"]

def test_default_prompt_is_applied_and_shown(tmp_path):
    folder = sentence_model(tmp_path, [Pooling(16)], PROMPTS, "query")
    reading = is_encode(f"st:{folder}", folder)
    assert reading["prompt"] == "'query: ' before each text (default prompt 'query')"
    without = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, prompt="")
    assert not np.allclose(features(f"st:{folder}").x, without, atol=1e-3)

def test_prompt_and_prefix_of_a_spec(tmp_path):
    folder = sentence_model(tmp_path, [Pooling(16)], PROMPTS, "query")
    assert "passage" in is_encode(f"st:{folder}?prompt=passage", folder, prompt_name="passage")["prompt"]
    is_encode(f"st:{folder}?prefix=passage: ", folder, prompt="passage: ")
    assert is_encode(f"st:{folder}?prefix=", folder, prompt="")["prompt"] == "none, as asked for"
    with pytest.raises(ValueError, match="Did you mean 'query'"): load_backbone(f"st:{folder}?prompt=qery")
    with pytest.raises(ValueError, match="not both"): load_backbone(f"st:{folder}?prompt=query&prefix=a")

@pytest.mark.parametrize("prefix", ["query: ", "query:", "no", "1", " the ", "100 % & + ? ", "'the' ", "词: "])
def test_a_prefix_is_text_to_the_last_blank(tmp_path, prefix):
    "And the resolved spec says the same when it is read again."
    from urllib.parse import quote
    folder = save(tmp_path/"m", bert())
    backbone = load_backbone(f"hf:{folder}?prefix={quote(prefix, safe=' :')}", device="cpu")
    again = load_backbone(backbone.spec, device="cpu")
    assert backbone.preprocess.prefix == again.preprocess.prefix == prefix and again.fingerprint == backbone.fingerprint and again.spec == backbone.spec

@pytest.mark.parametrize("mode", ["mean", "max", "cls", "lasttoken", "weightedmean"])
def test_a_prompt_that_pooling_leaves_out(tmp_path, mode):
    folder = sentence_model(tmp_path, [Pooling(16, mode, include_prompt=False)], PROMPTS, "passage")
    reading = is_encode(f"st:{folder}", folder)
    assert reading["pooling"] == "leaves out the prompt's first 4 tokens" # [CLS] passage : the

def test_lower_case_and_limit(tmp_path):
    folder = sentence_model(tmp_path, [Pooling(16)], limit=6, lower=True)
    found = features(f"st:{folder}")
    np.testing.assert_allclose(found.x, SentenceTransformer(str(folder), device="cpu").encode(TEXTS), atol=2e-5)
    reading = found.meta["reading"]
    assert reading["letters"] == "made lower-case by the tokenizer" and reading["limit of a text"] == "6 tokens" and "cut at 6 tokens" in reading["length"]

def test_first_numbers_only(tmp_path):
    folder = sentence_model(tmp_path, [Pooling(16)])
    path = folder/"config_sentence_transformers.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"truncate_dim": 6}))
    assert "first 6 numbers" in is_encode(f"st:{folder}", folder)["features"] and features(f"st:{folder}").x.shape[1] == 6

@pytest.mark.parametrize("prompt", [None, "query"])
def test_static_embeddings(tmp_path, prompt):
    "No transformer inside; an empty text has finite features."
    static = StaticEmbedding(make_tokenizer()._tokenizer, embedding_dim=12)
    SentenceTransformer(modules=[static], prompts=PROMPTS, default_prompt_name=prompt, device="cpu").save(str(tmp_path/"model"))
    reading = is_encode(f"st:{tmp_path/'model'}", tmp_path/"model", [*TEXTS, "", "word " * 50])
    assert "StaticEmbedding" in reading["features"] and "1 texts are empty for the tokenizer" in reading["empty texts"]
    backbone = load_backbone(f"st:{tmp_path/'model'}", device="cpu")
    control = randomize(backbone)
    assert control.fingerprint != backbone.fingerprint and not torch.equal(control.module[0].embedding.weight, backbone.module[0].embedding.weight)
    df = evaluate(f"st:{tmp_path/'model'}", task_of(TEXTS * 6), protocols=["knn", "linear_probe", "fine_tune?epochs=1&lrs=1e-3"])
    assert (df.error == "").all()

def test_bags_of_words_equal_encode(tmp_path):
    from sentence_transformers.sentence_transformer.modules import BoW
    bag = BoW(sorted(set(WORDS)), {"cat": 2.})
    SentenceTransformer(modules=[bag, Dense(len(bag.vocab), 6)], device="cpu").save(str(tmp_path/"model"))
    is_encode(f"st:{tmp_path/'model'}", tmp_path/"model")

def test_words_of_a_model_without_positions(tmp_path):
    "Each word is read by itself."
    static = StaticEmbedding(make_tokenizer()._tokenizer, embedding_dim=12)
    SentenceTransformer(modules=[static], device="cpu").save(str(tmp_path/"model"))
    words = make_task("w", Inputs([("the", "cat"), ("a", "dog", "end")], tuple, np.arange(2, dtype=np.uint64)), [0, 1, 0, 1, 1], dict(train=[0, 1], test=[2, 3, 4]),
                      kind="tagging", unit=np.array([0, 0, 1, 1, 1]), medium="words")
    found = extract(load_backbone(f"st:{tmp_path/'model'}", device="cpu"), words, dtype="float32")
    truth = SentenceTransformer(str(tmp_path/"model"), device="cpu").encode(["the", "cat", "a", "dog", "end"])
    np.testing.assert_allclose(found.x, truth[found.ids], atol=1e-5)

def test_texts_filled_into_a_chat(tmp_path):
    template = "{% for m in messages %}the {{ m['content'] if m['content'] is string else m['content'][0]['text'] }} end {% endfor %}"
    folder = sentence_model(tmp_path, [Pooling(16)], PROMPTS, chat_template=template)
    reading = is_encode(f"st:{folder}", folder)
    assert np.isfinite(features(f"st:{folder}?prompt=query").x).all() and "mean" in reading["features"]

def test_the_end_of_long_texts(tmp_path):
    "A tokenizer that cuts at the begin of a text."
    folder = sentence_model(tmp_path, [Pooling(16)], PROMPTS, "query", limit=8, truncation_side="left")
    is_encode(f"st:{folder}", folder, ["the cat sat on the mat where is my card", "a dog", "snow and ice " * 5, "end"])

def test_the_control_is_random_in_all_parts(tmp_path):
    backbone = load_backbone(f"st:{sentence_model(tmp_path, [Pooling(16), Dense(16, 5)])}", device="cpu")
    control = randomize(backbone).module
    assert not torch.equal(control[2].linear.weight, backbone.module[2].linear.weight)

@pytest.mark.parametrize("make", ["t5", "gpt2", "llama"])
def test_other_networks_equal_encode(tmp_path, make):
    size = len(VOCABULARY)
    networks = dict(t5=lambda: hf.T5EncoderModel(hf.T5Config(vocab_size=size, d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2)),
                    gpt2=lambda: hf.GPT2Model(hf.GPT2Config(vocab_size=size, n_embd=16, n_layer=2, n_head=2, n_positions=64)),
                    llama=lambda: hf.LlamaModel(hf.LlamaConfig(**SIZE, max_position_embeddings=64)))
    folder = sentence_model(tmp_path, [Pooling(16, "lasttoken" if make != "t5" else "mean")], network=networks[make](), limit=30)
    is_encode(f"st:{folder}", folder)

def test_pairs_equal_encode(tmp_path):
    pairs = [("the cat", "a dog"), ("snow", "where is my card"), ("a " * 30, "dog " * 30), ("", "the end")]
    folder = sentence_model(tmp_path, [Pooling(16)], PROMPTS, "query", limit=20, model_input_names=["input_ids", "token_type_ids", "attention_mask"])
    reading = is_encode(f"st:{folder}", folder, pairs)
    assert "[CLS] query : the cat [SEP] a dog [SEP]" in reading["pairs"]

def test_default_prompt_through_hf_is_a_finding(tmp_path):
    folder = sentence_model(tmp_path, [Pooling(16)], PROMPTS, "query")
    reading = load_backbone(f"hf:{folder}", device="cpu").reading
    assert [e.about for e in reading.findings] == ["prompt"] and "'query: '" in reading["prompt"]
    chosen = load_backbone(f"hf:{folder}?prompt=query", device="cpu")
    assert chosen.preprocess.prefix == "query: " and not chosen.reading.findings
    np.testing.assert_allclose(features(f"hf:{folder}?prompt=query").x, features(f"st:{folder}").x, atol=2e-5)

def test_fingerprints_tell_calls_apart(tmp_path):
    folder = sentence_model(tmp_path, [Pooling(16)], PROMPTS)
    specs = [f"st:{folder}", f"st:{folder}?prompt=query", f"st:{folder}?prompt=passage", f"st:{folder}?prefix=query:", f"hf:{folder}", f"hf:{folder}?prompt=query"]
    prints = [load_backbone(s, device="cpu").fingerprint for s in specs]
    assert len(set(prints)) == len(specs)
    tokens = [load_backbone(s, device="cpu").preprocess.fingerprint for s in specs[:4]]
    assert len(set(tokens)) == 4
    layers = [load_backbone(f"hf:{folder}", layer=layer, device="cpu").fingerprint for layer in (None, 0, 1)]
    assert len(set(layers)) == 3 # 0 is a layer, too

# --- transformers

def alone(folder, cls, texts=TEXTS, pool=lambda h: h.mean(1), part=lambda m: m, **call):
    "Features of each text by the model's own `forward`, one by one and without padding."
    network, tokenizer = part(cls.from_pretrained(folder).eval()), hf.AutoTokenizer.from_pretrained(folder)
    found = []
    for t in texts:
        given = tokenizer(*((t,) if isinstance(t, str) else t), return_tensors="pt", truncation=True, **call)
        with torch.inference_mode(): found.append(pool(network(**given).last_hidden_state))
    return torch.cat(found).numpy()

SMALL = dict(vocab_size=len(VOCABULARY), d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
             encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=64, pad_token_id=0, bos_token_id=2, eos_token_id=3, decoder_start_token_id=3)
NETWORKS = {
    "bert": lambda: bert(),
    "roberta": lambda: hf.RobertaModel(hf.RobertaConfig(**SIZE, max_position_embeddings=64, pad_token_id=0)),
    "distilbert": lambda: hf.DistilBertModel(hf.DistilBertConfig(vocab_size=len(VOCABULARY), dim=16, n_layers=2, n_heads=2, hidden_dim=16, max_position_embeddings=64)),
    "gpt2": lambda: hf.GPT2Model(hf.GPT2Config(vocab_size=len(VOCABULARY), n_embd=16, n_layer=2, n_head=2, n_positions=64)),
    "llama": lambda: hf.LlamaModel(hf.LlamaConfig(**SIZE, max_position_embeddings=64)),
    "xlnet": lambda: hf.XLNetModel(hf.XLNetConfig(vocab_size=len(VOCABULARY), d_model=16, n_layer=2, n_head=2, d_inner=16)),
    "fnet": lambda: hf.FNetModel(hf.FNetConfig(vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=2, intermediate_size=16, max_position_embeddings=64)),
    "deberta": lambda: hf.DebertaV2Model(hf.DebertaV2Config(**SIZE, max_position_embeddings=64, relative_attention=True, pos_att_type=["p2c", "c2p"])),
    "modernbert": lambda: hf.ModernBertModel(hf.ModernBertConfig(**SIZE, max_position_embeddings=64, pad_token_id=0, bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3)),
    "electra": lambda: hf.ElectraModel(hf.ElectraConfig(**SIZE, embedding_size=8, max_position_embeddings=64))}

@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", NETWORKS)
def test_features_equal_the_networks_own(tmp_path, name, side):
    "The mean over the tokens of the last layer, whatever side the tokenizer fills up."
    network = NETWORKS[name]()
    folder = save(tmp_path/"m", network, limit=40, padding_side=side, **({"model_input_names": WITH_TYPES} if name in ("bert", "xlnet", "fnet", "electra") else {}))
    found = features(f"hf:{folder}")
    np.testing.assert_allclose(found.x, alone(folder, hf.AutoModel), atol=2e-5)
    assert found.meta["reading"]["features"] == "16 numbers: mean over the tokens of the last hidden layer"
    assert ("batches" in found.meta["reading"]) == (name == "fnet")

@pytest.mark.parametrize("make", [lambda: hf.T5ForConditionalGeneration(hf.T5Config(vocab_size=len(VOCABULARY), d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2)),
                                  lambda: hf.T5EncoderModel(hf.T5Config(vocab_size=len(VOCABULARY), d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2)),
                                  lambda: hf.BartModel(hf.BartConfig(**SMALL)), lambda: hf.BartForConditionalGeneration(hf.BartConfig(**SMALL))])
def test_encoders_with_a_decoder(tmp_path, make):
    network = make()
    folder = save(tmp_path/"m", network, limit=40)
    found = features(f"hf:{folder}")
    np.testing.assert_allclose(found.x, alone(folder, type(network), part=lambda m: m.get_encoder()), atol=2e-5)
    backbone = load_backbone(f"hf:{folder}", device="cpu")
    assert not any("decoder" in k for k, _ in backbone.module.named_parameters())
    assert randomize(backbone).dim == 16

def test_a_lost_encoder_is_still_an_error(tmp_path):
    from safetensors.torch import load_file, save_file
    folder = save(tmp_path/"m", hf.BartModel(hf.BartConfig(**SMALL)))
    state = load_file(folder/"model.safetensors")
    save_file({k: v for k, v in state.items() if "encoder.layers.1.fc1" not in k}, folder/"model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="lacks 2 weights"): load_backbone(f"hf:{folder}", device="cpu")

def test_padding_offset_of_roberta(tmp_path):
    "514 positions are 512 tokens; the tokenizer says nothing."
    for name, network in [("r", hf.RobertaModel(hf.RobertaConfig(**SIZE | dict(vocab_size=30), max_position_embeddings=514, pad_token_id=1))),
                          ("m", hf.MPNetModel(hf.MPNetConfig(**SIZE, max_position_embeddings=514)))]:
        folder = save(tmp_path/name, network)
        backbone = load_backbone(f"hf:{folder}", device="cpu")
        assert backbone.preprocess.limit == 512 and backbone.reading["limit of a text"] == "512 tokens"
        found = features(f"hf:{folder}", ["dog " * 900, "dog " * 510, "a", "cat " * 511])
        assert np.isfinite(found.x).all() and "50.0% of the texts were cut at 512 tokens" == found.meta["reading"]["length"]
        st = features(f"st:{folder}", ["dog " * 900, "a", "a dog", "cat " * 511])
        assert np.isfinite(st.x).all()

def gpt2_classifier(pad, **more):
    config = hf.GPT2Config(vocab_size=len(VOCABULARY), n_embd=16, n_layer=2, n_head=2, n_positions=64, num_labels=3, pad_token_id=pad, bos_token_id=2, eos_token_id=3, **more)
    return hf.GPT2ForSequenceClassification(config)

@pytest.mark.parametrize("marks", [True, False])
@pytest.mark.parametrize("tokens", [dict(pad_token=None, eos_token="[SEP]"), dict()])
@pytest.mark.parametrize("pad", [None, 0])
def test_a_head_behind_the_last_token(tmp_path, pad, tokens, marks):
    "In batches as one by one, with and without a padding token, and where texts end with the only other special token."
    folder = save(tmp_path/"m", gpt2_classifier(pad), marks=marks, **tokens)
    found = features(f"hf:{folder}")
    network, tokenizer = hf.AutoModelForSequenceClassification.from_pretrained(folder).eval(), hf.AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode(): truth = [network(**tokenizer(t, return_tensors="pt")).logits.softmax(1) for t in TEXTS]
    np.testing.assert_allclose(found.source_probs, torch.cat(truth).numpy(), atol=1e-5)

@pytest.mark.parametrize("cls, config", [
    (hf.BertForSequenceClassification, lambda: hf.BertConfig(**SIZE, max_position_embeddings=64, num_labels=3)),
    (hf.XLNetForSequenceClassification, lambda: hf.XLNetConfig(vocab_size=len(VOCABULARY), d_model=16, n_layer=2, n_head=2, d_inner=16, num_labels=3)),
    (hf.BartForSequenceClassification, lambda: hf.BartConfig(**SMALL, num_labels=3)),
    (hf.T5ForSequenceClassification, lambda: hf.T5Config(vocab_size=len(VOCABULARY), d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2, num_labels=3, eos_token_id=3, decoder_start_token_id=0))])
def test_heads_equal_the_networks_own(tmp_path, cls, config):
    folder = save(tmp_path/"m", cls(config()), limit=40)
    found = features(f"hf:{folder}")
    network, tokenizer = cls.from_pretrained(folder).eval(), hf.AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode(): truth = [network(**tokenizer(t, return_tensors="pt", truncation=True)).logits.softmax(1) for t in TEXTS]
    np.testing.assert_allclose(found.source_probs, torch.cat(truth).numpy(), atol=1e-5)
    assert found.meta["reading"]["head"] == "3 classes without names"

def test_heads_that_are_no_classes(tmp_path):
    one = save(tmp_path/"one", hf.BertForSequenceClassification(hf.BertConfig(**SIZE, max_position_embeddings=64, num_labels=1)))
    backbone = load_backbone(f"hf:{one}", device="cpu")
    assert backbone.head is None and "one number" in backbone.reading["head"]
    several = save(tmp_path/"several", hf.BertForSequenceClassification(hf.BertConfig(**SIZE, max_position_embeddings=64, num_labels=3, problem_type="multi_label_classification")))
    found = features(f"hf:{several}")
    np.testing.assert_allclose(found.source_probs.sum(1), 1, atol=1e-5)
    assert "a probability of its own" in found.meta["reading"]["head"]

WITH_TYPES = ["input_ids", "token_type_ids", "attention_mask"]
PAIRS = [("the cat", "a dog"), ("snow", "where is my card"), ("the end", "the"), ("a dog", "the cat")]

def test_pairs_have_token_types(tmp_path):
    "As `tokenizer(text, text_pair)` and the network's `forward` read them; the order of the two matters."
    folder = save(tmp_path/"m", bert(), model_input_names=WITH_TYPES)
    found = features(f"hf:{folder}", PAIRS)
    np.testing.assert_allclose(found.x, alone(folder, hf.AutoModel, PAIRS), atol=2e-5)
    assert not np.allclose(found.x[0], found.x[3], atol=1e-3)
    backbone = load_backbone(f"hf:{folder}", device="cpu")
    short, long = (backbone.preprocess.of_text(pair) for pair in (PAIRS[0], ("a " * 10, "a")))
    assert short.types == [[0, 0, 0, 0, 1, 1, 1]]
    assert backbone.preprocess.padded([short, long]).tolist() == [8, 16]
    assert model_inputs(backbone, task_of(PAIRS)).lengths(np.array([0, 1])).tolist() == [8, 8]
    words = make_task("w", Inputs([("the", "cat"), ("a", "dog")], tuple, np.arange(2, dtype=np.uint64)), [0, 1, 0, 1], dict(train=[0, 1], test=[2, 3]),
                      kind="tagging", unit=np.array([0, 0, 1, 1]), medium="words")
    assert extract(backbone, words, dtype="float32").x.shape == (4, 16) # two strings of a sentence are words

def test_pairs_can_be_fine_tuned(tmp_path):
    df = evaluate(f"hf:{save(tmp_path/'m', bert())}", task_of(PAIRS * 10), protocols=["knn", "linear_probe", "fine_tune?epochs=1&lrs=1e-3"])
    assert (df.error == "").all()

def test_networks_without_token_types_get_none(tmp_path):
    for name in ("distilbert", "llama", "modernbert"):
        backbone = load_backbone(f"hf:{save(tmp_path/name, NETWORKS[name](), model_input_names=WITH_TYPES)}", device="cpu")
        assert backbone.preprocess.of_text(PAIRS[0]).types is None

# --- texts

@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "fnet"])
@pytest.mark.parametrize("marks", [True, False])
def test_empty_texts_are_finite_and_counted(tmp_path, name, marks):
    folder = save(tmp_path/"m", NETWORKS[name](), marks=marks)
    found = features(f"hf:{folder}", ["", "  ", "the cat", "\n", "a dog", "snow"])
    entry = next(e for e in found.meta["reading"] if e.about == "empty texts")
    assert np.isfinite(found.x).all() and entry.status == "finding" and entry.value.startswith("3 texts")

def test_share_of_unknown_tokens(tmp_path):
    folder = save(tmp_path/"m", bert())
    reading = features(f"hf:{folder}", ["the cat слово сидит", "a dog"] * 3).meta["reading"]
    [finding] = reading.findings
    assert finding.about == "unknown tokens" and finding.value.startswith("25.0%")
    assert "unknown tokens" not in features(f"hf:{folder}").meta["reading"]
    few = features(f"hf:{folder}", ["слово " + "dog " * 39] * 4).meta["reading"]
    assert few["unknown tokens"] in ("2% of a text, on average", "3% of a text, on average") and not few.findings

def test_errors_name_the_text(tmp_path):
    folder = save(tmp_path/"m", bert())
    with pytest.raises(ValueError, match=r"example 2 \(half \\ud800 of it\).*U\+D800"): features(f"hf:{folder}", ["the cat", "a dog", "half \ud800 of it", "snow"])
    with pytest.raises(ValueError, match=r"example 1 \(half \\ud800.*U\+D800"): features(f"hf:{folder}", [("a", "b"), ("half \ud800", "b"), ("a", "c"), ("c", "d")])
    small = save(tmp_path/"small", bert(vocab_size=13))
    with pytest.raises(ValueError, match="example 1 .the dog sat.*token 'dog' has the number 13.*do not belong together"): features(f"hf:{small}", ["the", "the dog sat", "a", "the the"])

def test_models_that_need_more_than_a_text(tmp_path):
    text, picture = dict(vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16), dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=8, patch_size=4)
    network = hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=picture, projection_dim=8))
    with pytest.raises(ValueError, match="takes texts alone"): load_backbone(f"hf:{save(tmp_path/'m', network)}", device="cpu")

# --- folders that are refused

class Malicious:
    def __init__(self, path): self.path = str(path)
    def __reduce__(self): return os.system, (f"touch {self.path}",)

def with_pickle(folder, ran):
    (folder/"model.safetensors").unlink()
    torch.save({"x": Malicious(ran)}, folder/"pytorch_model.bin")
    return folder

@pytest.mark.parametrize("source", ["hf", "st"])
def test_malicious_pickles_are_refused(tmp_path, source):
    folder = with_pickle(save(tmp_path/"m", bert()), tmp_path/"ran")
    with pytest.raises(ValueError) as e: load_backbone(f"{source}:{folder}", device="cpu")
    said = str(e.value)
    assert "pytorch_model.bin' is refused" in said and "could run code" in said and "safetensors" in said and "weights_only" not in said and not (tmp_path/"ran").exists()

def test_a_malicious_part_of_a_sentence_model(tmp_path):
    folder = with_pickle(sentence_model(tmp_path, [Pooling(16), Dense(16, 5)])/"2_Dense", tmp_path/"ran").parent
    with pytest.raises(ValueError) as e: load_backbone(f"st:{folder}", device="cpu")
    assert "is refused" in str(e.value) and "weights_only" not in str(e.value) and not (tmp_path/"ran").exists()

def test_safetensors_are_preferred(tmp_path):
    folder = save(tmp_path/"m", bert())
    torch.save({"x": Malicious(tmp_path/"ran")}, folder/"pytorch_model.bin")
    for source in ("hf", "st"): load_backbone(f"{source}:{folder}", device="cpu")
    assert not (tmp_path/"ran").exists()

def test_an_honest_pickle_of_tensors_is_read(tmp_path):
    network = bert()
    folder = save(tmp_path/"m", network)
    (folder/"model.safetensors").unlink()
    torch.save(network.state_dict(), folder/"pytorch_model.bin")
    assert load_backbone(f"hf:{folder}", device="cpu").dim == 16

@pytest.mark.parametrize("file, content, words", [
    ("model.safetensors", b"\x10" * 60, "model.safetensors' is refused: it is damaged"), ("model.safetensors", b"", "is refused"), ("tokenizer.json", b'{"a"', "cannot be loaded"),
    ("tokenizer.json", b"{}", "cannot be loaded"), ("config.json", b"{", "no complete transformers model"), ("config.json", b'{"model_type": "nonsense"}', "cannot be loaded")])
def test_damaged_folders(tmp_path, file, content, words):
    folder = save(tmp_path/"m", bert())
    (folder/file).write_bytes(content)
    with pytest.raises(ValueError, match=words) as e: load_backbone(f"hf:{folder}", device="cpu")
    assert "\n" not in str(e.value) and len(str(e.value)) < 700

@pytest.mark.parametrize("source", ["hf", "st"])
@pytest.mark.parametrize("name, words", [("x" * 5000, "a part of 5,000 bytes"), ("/" + "x" * 300, "a part of 300 bytes"), ("/" + "/".join("abcdefgh" * 20 for _ in range(22)), "There is no folder"),
    ("a/b/c", "There is no folder"), ("a b/c d", "no name of the Hugging Face Hub"), ("a\x00b/c", "no name of the Hugging Face Hub"), ("~nobody-at-all/x", "There is no folder"), ("./nowhere?x", "There is no folder")])
def test_names_that_nothing_can_have(source, name, words):
    with pytest.raises((ValueError, OSError), match=words) as e: load_backbone(f"{source}:{name}", device="cpu")
    assert len(str(e.value)) < 500 and "\n" not in str(e.value)

@pytest.mark.parametrize("source", ["hf", "st"])
def test_names_that_cannot_be_decoded(tmp_path, source):
    folder = os.fsencode(tmp_path) + b"/un\xff"
    save(tmp_path/"m", bert())
    try: os.rename(tmp_path/"m", folder)
    except OSError: pytest.skip("this disk takes UTF-8 only")
    with pytest.raises(ValueError, match="no UTF-8.*rename") as e: load_backbone(f"{source}:{os.fsdecode(folder)}", device="cpu")
    str(e.value).encode()

@pytest.mark.parametrize("spec", ["x" * 5000, "timm:" + "x" * 5000, "file:" + "y" * 5000 + ":resnet18", "st:" + "a/" * 4000, "hub:" + "z" * 9000])
def test_specs_of_thousands_of_characters(spec):
    with pytest.raises(ValueError, match="bytes") as e: load_backbone(spec, device="cpu")
    assert len(str(e.value)) < 300

def test_a_bare_name_that_no_file_can_have():
    with pytest.raises(ValueError, match="a part of 300 bytes"): load_backbone("x" * 300)

def test_deep_folders_work(tmp_path):
    deep = tmp_path/("d" * 200)/("e" * 200)/("f" * 200)
    deep.mkdir(parents=True)
    assert load_backbone(f"hf:{save(deep/'m', bert())}", device="cpu").dim == 16
