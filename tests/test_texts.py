"Texts: tokens, text models, tables of texts, fine-tuning; what the lessons do not show."
import json, shutil

import numpy as np, pandas as pd, pytest, torch

pytest.importorskip("transformers", reason="needs the extra `text`")
from transformers import BertConfig, BertForSequenceClassification, BertModel

import upgradeability.finetuning as ft
from upgradeability import evaluate, extract, load_backbone, load_task, read_predictions, verify
from upgradeability.texts import text_inputs
from upgradeability.features import batches, model_inputs, texts_per_pass
from upgradeability.models import randomize
from upgradeability.text_models import pad, padded_lengths
from upgradeability.tasks import make_task

TEXTS = ["the cat sat on the mat", "a dog", "where is my card", "rain " * 40, "x", "hello world", "snow and ice", "the end"]

@pytest.fixture(scope="module")
def minilm(): return load_backbone("bundled:minilm", device="cpu")

@pytest.fixture(scope="module")
def tiny(tmp_path_factory, minilm):
    "Folder of a tiny BERT with a head of two named classes."
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(5)
    config = BertConfig(vocab_size=len(minilm.preprocess.tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
                        max_position_embeddings=64, id2label={0: "bad", 1: "good"}, label2id={"bad": 0, "good": 1})
    BertForSequenceClassification(config).save_pretrained(folder)
    minilm.preprocess.tokenizer.save_pretrained(folder)
    return folder

def small_task(n=40, kind="classification"):
    texts = [f"{'sunny warm bright' if i % 2 else 'cold dark wet'} day number {i}" for i in range(n)]
    return make_task("small", text_inputs(texts), [["bad", "good"][i % 2] for i in range(n)], {}, medium="text")

# --- tokens and batches

def test_long_texts_are_cut_and_long_sentences_are_not(minilm):
    tokens = minilm.preprocess
    assert tokens("word " * 1000).long and len(tokens("word " * 1000).windows) == 1
    read = tokens(("word",) * 1000)
    assert len(read.words) == 1000 and len(read.windows) == 4 and max(map(len, read.windows)) <= 256
    assert len(np.unique(read.words, axis=0)) == 1000

@pytest.mark.parametrize("words", [("",), (" ",), ("\u200b", "a"), ("a", "\x00"), ("🤷",), ("ﷺ" * 300,), ("a" * 5000, "b")])
def test_every_word_has_a_place(minilm, words):
    assert len(minilm.preprocess(words).words) == len(words)

def test_padded_lengths():
    n = np.arange(1, 3000)
    p = padded_lengths(n, 10**6)
    assert (p >= n).all() and (p[7:] < 1.5 * n[7:] + 8).all() and len(np.unique(p)) < 20 and padded_lengths([400], 256).tolist() == [256]

def task_of(texts): return make_task("t", text_inputs(texts), np.arange(len(texts)) % 2, dict(train=range(len(texts) // 2), test=range(len(texts) // 2, len(texts))), medium="text")

def test_features_do_not_depend_on_the_company(minilm, tmp_path, monkeypatch):
    "Bit for bit: all at once, in another order, one after the other."
    task, found = task_of(TEXTS), []
    for i, orders in enumerate([[range(8)], [[7, 3, 1, 0, 2, 6, 5, 4]], [[3], [1, 2], [0], [4, 5, 6, 7]]]):
        monkeypatch.setenv("UPGRADEABILITY_CACHE", str(tmp_path/str(i)))
        parts = [extract(minilm, task, rows=list(o), batch_size=4, dtype="float32") for o in orders]
        x = np.empty((8, 384), np.float32)
        for p in parts: x[p.ids] = p.x
        found.append(x)
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])

def test_batches_hold_one_length(minilm):
    inputs = model_inputs(minilm, task_of(TEXTS))
    seen = [(rows.tolist(), batch["input_ids"].shape) for rows, batch in batches(inputs, np.arange(8), 4)]
    assert sorted(r for rows, _ in seen for r in rows) == list(range(8)) and all(shape[0] == texts_per_pass(shape[1], 4) for _, shape in seen)
    assert [s[1] for _, s in seen] == sorted(s[1] for _, s in seen)
    [[rows, batch]] = batches(inputs, np.arange(8)[::-1], 8, fill=False, by_length=False)
    assert rows.tolist() == list(range(8))[::-1] and batch["input_ids"].shape == (8, 48)

def test_share_of_cut_texts_is_reported(minilm):
    task = task_of([*TEXTS[:6], "word " * 400, "long " * 100_000])
    assert extract(minilm, task, dtype="float32").meta["reading"]["length"] == "25.0% of the texts were cut at 256 tokens"
    assert extract(minilm, task, dtype="float32").meta["computed"] == 0 and "length" in extract(minilm, task, dtype="float32").meta["reading"]

def test_words_of_a_sentence(minilm):
    "A row per word, whatever the order of the sentences; a sentence beyond the limit keeps all its words."
    sentences = [("EU", "rejects", "German", "call"), ("Peter",), tuple(f"w{i}" for i in range(300))]
    from upgradeability.media import Inputs
    groups = np.repeat([0, 1, 2], [4, 1, 300])
    y = (np.arange(305) % 3 == 0).astype(int)
    inputs = Inputs(sentences, tuple, np.arange(3, dtype=np.uint64))
    task = make_task("w", inputs, y, dict(train=range(5), test=range(5, 305)), kind="tagging", unit=groups, medium="words")
    f = extract(minilm, task, batch_size=2, dtype="float32")
    assert f.x.shape == (305, 384) and np.array_equal(f.groups, groups[f.ids]) and "sentences of more than 256 tokens" in f.meta["reading"]["length"]
    with torch.inference_mode(): x = minilm.encode(minilm.module, pad([minilm.preprocess(sentences[0])]))[0]
    np.testing.assert_allclose(f.x[:4], x, atol=1e-5)

def test_bfloat16_is_close(minilm):
    task = task_of(TEXTS)
    a, b = (extract(minilm, task, dtype=d).x for d in ("float32", "bfloat16"))
    assert ((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min() > .999

# --- models

def test_own_pooling_is_that_of_sentence_transformers(minilm):
    with torch.inference_mode(): ours = minilm.encode(minilm.module, pad([minilm.preprocess(t) for t in TEXTS]))[0]
    np.testing.assert_allclose(ours, minilm.module.encode(TEXTS), atol=1e-5)

def test_mean_and_cls_leave_padding_out(tiny):
    alone, together = ["short"], ["short", "a longer text that pads the other one with many tokens"]
    for pooling in ("mean", "cls"):
        b = load_backbone(f"hf:{tiny}", pooling=pooling, device="cpu")
        with torch.inference_mode(): x, y = (b.encode(b.module, pad([b.preprocess(t) for t in texts]))[0] for texts in (alone, together))
        np.testing.assert_allclose(x[0], y[0], atol=1e-5)

def test_layers(tiny):
    with torch.inference_mode():
        xs = [b.encode(b.module, pad([b.preprocess("some text")]))[0] for b in (load_backbone(f"hf:{tiny}", layer=k, device="cpu") for k in (0, 1, 2, -1, None))]
    assert torch.equal(xs[2], xs[3]) and torch.equal(xs[2], xs[4]) and not torch.allclose(xs[1], xs[2])
    with pytest.raises(ValueError, match="has no layer 9"): load_backbone(f"hf:{tiny}", layer=9)
    with pytest.raises(ValueError, match="is a number"): load_backbone(f"hf:{tiny}", layer="encoder")
    with pytest.raises(ValueError, match="Did you mean 'mean'"): load_backbone(f"hf:{tiny}", pooling="meen")

def test_random_weights(tiny):
    for spec in (f"hf:{tiny}", f"st:{tiny}"):
        b = load_backbone(spec, device="cpu")
        r = randomize(b)
        assert r.fingerprint == randomize(b).fingerprint != randomize(b, 1).fingerprint != b.fingerprint
        assert load_backbone(spec + "?random=0", device="cpu").fingerprint == r.fingerprint
        with torch.inference_mode(): x = b.encode(b.module, pad([b.preprocess("some text")]))[0]
        assert torch.equal(x, b.encode(b.module, pad([b.preprocess("some text")]))[0]) # the original stayed as it was

def test_fingerprint_is_of_contents(tiny, tmp_path):
    copied = shutil.copytree(tiny, tmp_path/"elsewhere")
    assert load_backbone(f"hf:{copied}", device="cpu").fingerprint == load_backbone(f"hf:{tiny}", device="cpu").fingerprint

def test_as_is_by_the_names_of_a_classifier(tiny):
    df = evaluate(f"hf:{tiny}", small_task(), protocols="as_is", dtype="float32")
    own = read_predictions(df.attrs["out_dir"], df.key[df.protocol == "as_is"].iloc[0])["test"]
    b = load_backbone(f"hf:{tiny}", device="cpu")
    assert b.head_classes == ("bad", "good") and own.scores.shape[1] == 2 and 0 < own.pred.mean() + 1e-9

def test_missing_weights_are_an_error(tiny, tmp_path):
    "A base model read as a classifier would have a random head."
    folder = shutil.copytree(tiny, tmp_path/"cut")
    BertModel(BertConfig.from_pretrained(tiny)).save_pretrained(folder)
    config = json.loads((folder/"config.json").read_text()) | {"architectures": ["BertForSequenceClassification"]}
    (folder/"config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="lacks 2 weights .classifier.bias"): load_backbone(f"hf:{folder}")

def test_foreign_code_is_refused(tiny, tmp_path):
    folder = shutil.copytree(tiny, tmp_path/"code")
    config = json.loads((folder/"config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModel": "mine.Model"}}
    (folder/"config.json").write_text(json.dumps(config))
    (folder/"mine.py").write_text(f"import pathlib; pathlib.Path({str(tmp_path/'ran')!r}).write_text('')")
    with pytest.raises(ValueError, match="trust_remote_code=true"): load_backbone(f"hf:{folder}")
    assert not (tmp_path/"ran").exists()

@pytest.mark.parametrize("spec, words", [("hf:nobody/nothing", ["model.safetensors", "hf download nobody/nothing", "bundled:minilm"]),
                                         ("hf:./nowhere", ["There is no folder"]), ("minilmm", ["Did you mean 'minilm'"]), ("org/name", ["'hf:org/name'", "'st:org/name'"])])
def test_model_errors(spec, words, monkeypatch):
    with pytest.raises((ValueError, OSError)) as e: load_backbone(spec)
    for w in words: assert w in str(e.value)

def test_texts_and_pictures_do_not_mix(minilm):
    with pytest.raises(ValueError, match="takes texts; the examples of 'digits' are pictures"): extract(minilm, load_task("digits"), rows=[0, 1])
    with pytest.raises(ValueError, match="takes no texts.*bundled:minilm"): extract(load_backbone("bundled:efficientnet_lite0"), small_task())

# --- tables

def write(path, **columns):
    frame = pd.DataFrame(columns)
    kind = {".csv": lambda: frame.to_csv(path, index=False), ".tsv": lambda: frame.to_csv(path, sep="\t", index=False),
            ".parquet": lambda: frame.to_parquet(path), ".jsonl": lambda: frame.to_json(path, orient="records", lines=True)}
    kind[path.suffix]()
    return path

WORDS = [f"text number {i}" for i in range(40)]
LABELS = ["yes", "no"] * 20

@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".jsonl"])
def test_all_kinds_of_tables_are_one_task(tmp_path, ending):
    reference = load_task(f"csv:{write(tmp_path/'a.csv', text=WORDS, label=LABELS)}")
    task = load_task(f"csv:{write(tmp_path/f'b{ending}', text=WORDS, label=LABELS)}")
    assert task.fingerprint == reference.fingerprint and task.medium.name == "text" and task.classes == ("no", "yes") and list(task.inputs) == WORDS

def test_folder_of_tables(tmp_path):
    write(tmp_path/"train.csv", text=WORDS, label=LABELS); write(tmp_path/"dev.tsv", text=WORDS[:4], label=LABELS[:4]); write(tmp_path/"test.csv", text=WORDS[:6], label=LABELS[:6])
    task = load_task(f"csv:{tmp_path}")
    assert {k: len(v) for k, v in task.splits.items()} == dict(train=40, valid=4, test=6) and set(task.origin.values()) == {"official"}

@pytest.mark.parametrize("columns, text, label", [
    (dict(id=range(40), body=WORDS, stars=[1, 2] * 20), "body", "stars"), (dict(intent=LABELS, query=WORDS), "query", "intent"),
    (dict(q=WORDS, z=LABELS), "q", "z"), (dict(Text=WORDS, Label=LABELS), "Text", "Label")])
def test_columns_are_found_and_said(tmp_path, columns, text, label):
    task = load_task(f"csv:{write(tmp_path/'t.csv', **columns)}")
    assert task.reading["columns used"] == f"texts from the column {text!r}, labels from {label!r}"

def test_columns_that_could_be_anything_are_asked_for(tmp_path):
    path = write(tmp_path/"t.csv", one=WORDS, two=LABELS, three=[1, 2] * 20)
    with pytest.raises(ValueError, match=r"Which column contains the labels\? .*label=NAME"): load_task(f"csv:{path}")
    assert load_task(f"csv:{path}?label=three").classes == ("1", "2")
    with pytest.raises(ValueError, match="Did you mean 'three'"): load_task(f"csv:{path}?label=threee")

def test_whole_numbers_keep_their_order(tmp_path):
    assert load_task(f"csv:{write(tmp_path/'t.csv', text=WORDS, label=[9, 10] * 20)}").classes == ("9", "10")

def test_grades(tmp_path):
    path = write(tmp_path/"t.csv", text=WORDS, stars=[10, 9, 8, 7] * 10)
    task = load_task(f"csv:{path}?grades=true")
    assert task.kind.name == "grades" and task.classes == ("7", "8", "9", "10") and "grades from 'stars'" in ' '.join(task.reading.texts)
    words = write(tmp_path/"w.csv", text=WORDS, label=["good", "poor", "fair", "fair"] * 10)
    assert load_task(f"csv:{words}?grades=[poor, fair, good]").classes == ("poor", "fair", "good")
    with pytest.raises(ValueError, match="grades=true needs whole numbers"): load_task(f"csv:{words}?grades=true")

def test_bad_tables(tmp_path):
    cases = [(tmp_path/"no.csv", "There is no file or folder"), (tmp_path, "has no train file")]
    (tmp_path/"a.xlsx").write_bytes(b"x"); cases.append((tmp_path/"a.xlsx", "no table that can be read"))
    (tmp_path/"l.csv").write_bytes("text,label\nna\u00efve,a\nb,b\n".encode("latin-1")); cases.append((tmp_path/"l.csv", r"not in utf-8: line 2 contains the byte 0xef.*encoding=latin-1"))
    (tmp_path/"e.csv").write_text("text,label\n"); cases.append((tmp_path/"e.csv", "has no rows"))
    cases.append((write(tmp_path/"m.csv", text=WORDS, label=["a", ""] * 20), "20 labels are missing, the first at rows"))
    cases.append((write(tmp_path/"o.csv", text=WORDS, label=["a"] * 40), "one class"))
    cases.append((write(tmp_path/"n.parquet", text=[None, *WORDS[1:]], label=LABELS), "Text 0 is no text but (None|nan)"))
    (tmp_path/"q.parquet").write_bytes(b"nonsense"); cases.append((tmp_path/"q.parquet", "is no table"))
    for path, words in cases:
        with pytest.raises((ValueError, OSError), match=words): load_task(f"csv:{path}")
    with pytest.raises(ValueError, match="'csv:reviews.csv'"): load_task("reviews.csv")

def test_hugging_face_folder(tmp_path):
    pytest.importorskip("datasets")
    write(tmp_path/"train.csv", text=WORDS, label=LABELS); write(tmp_path/"test.csv", text=WORDS[:6], label=LABELS[:6])
    task = load_task(f"hf:{tmp_path}")
    assert {k: len(v) for k, v in task.splits.items()} == dict(train=32, valid=8, test=6) and task.classes == ("no", "yes")

def test_hugging_face_without_network(monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True); monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match="'hf:nobody/nothing' could not be loaded.*csv:PATH"): load_task("hf:nobody/nothing")

def test_lists_of_texts_are_a_task():
    task = load_task((WORDS, LABELS, WORDS[:6], LABELS[:6]))
    assert task.medium.name == "text" and task.inputs[3] == WORDS[3] and len(task.splits["test"]) == 6

def test_docstrings_are_the_same_each_time():
    a, b = (load_task("docstrings?per_package=30") for _ in range(2))
    assert a.fingerprint == b.fingerprint and len(set(a.inputs.items)) > .95 * len(a.inputs)

# --- protocols

def test_odd_texts_run(minilm):
    "Empty, one word, 100,000 characters, other scripts."
    texts = ["", " ", "word", "x" * 100_000, "слово", "字", "🤷", "a b"] * 5
    task = make_task("odd", text_inputs([t + str(i // 8) if i >= 8 else t for i, t in enumerate(texts)]), np.arange(40) % 2, {}, medium="text")
    df = evaluate(minilm, task, protocols="knn, linear_probe", dtype="float32")
    assert (df.error == "").all() and df.test.notna().all()

def test_fine_tuning_of_texts(tiny):
    task = small_task(60)
    df = evaluate(f"hf:{tiny}", task, protocols=["fine_tune?epochs=8&lrs=3e-3", "from_scratch?epochs=8&lrs=3e-3"], dtype="float32")
    tuned = read_predictions(df.attrs["out_dir"], df.key[0])["test"].meta
    assert (df.error == "").all() and df.test[0] > .9 and tuned["choices"]["lr"] == 3e-3
    b = load_backbone(f"hf:{tiny}", device="cpu")
    out = ft.fine_tune(b, task, None, epochs=2, lrs="1e-3", dtype="float32")
    again = ft.fine_tune(b, task, None, epochs=2, lrs="1e-3", dtype="float32")
    np.testing.assert_array_equal(out["test"].scores, again["test"].scores)

def test_predictions_of_a_network_keep_the_order_of_the_rows(tiny):
    "Texts go through it by length."
    b, task = load_backbone(f"hf:{tiny}", device="cpu"), task_of(TEXTS)
    net, inputs = ft.Adapted(b, 2), model_inputs(b, task)
    rows = np.array([3, 0, 7, 1])
    one_by_one = np.concatenate([ft.predict_network(net, inputs, rows[i:i + 1]) for i in range(4)])
    np.testing.assert_allclose(ft.predict_network(net, inputs, rows), one_by_one, atol=1e-5)

# --- real data

@pytest.fixture(scope="module")
def banking(shared_data): return load_task(f"csv:{shared_data/'banking77'}")

def test_published_figure(minilm, banking):
    "MTEB's protocol: raw embeddings, 8 labels per class, C = 1, 100 iterations, ten draws; it publishes .8004 for this model."
    from sklearn.linear_model import LogisticRegression
    learn, test = np.concatenate([banking.splits["train"], banking.splits["valid"]]), banking.splits["test"]
    rng, draws = np.random.default_rng(42), []
    draws = [np.concatenate([rng.permutation(learn[banking.y[learn] == c])[:8] for c in range(77)]) for _ in range(10)]
    f = extract(minilm, banking, rows=np.unique(np.concatenate([*draws, test])))
    x = dict(zip(f.ids, f.x))
    at = lambda rows: np.stack([x[r] for r in rows])
    found = [LogisticRegression(C=1., max_iter=100).fit(at(d), banking.y[d]).score(at(test), banking.y[test]) for d in draws]
    assert np.mean(found) == pytest.approx(.80, abs=.015)

def test_banking77_with_few_labels(banking):
    "Our probe at 8 labels per class beside the figure above."
    few = evaluate("bundled:minilm", banking, protocols="linear_probe", n_train=8 * 77).set_index("protocol")
    assert few.n_train["linear_probe"] == 616 and .79 < few.test["linear_probe"] < .86
    assert few.test["majority"] == pytest.approx(1 / 77, abs=.002) and verify(few.attrs["out_dir"]).empty

def test_few_long_texts_fill_a_batch(minilm):
    "How many depends on the length alone, so that features do not depend on the other texts."
    assert [texts_per_pass(n, 64) for n in (0, 8, 32, 48, 64, 128, 512, 4096)] == [64, 64, 64, 42, 32, 16, 4, 2]
    assert texts_per_pass(512, 1) == 1
    inputs = model_inputs(minilm, task_of(TEXTS))
    all_shapes = {batch["input_ids"].shape for _, batch in batches(inputs, np.arange(8), 16)}
    [[_, alone]] = batches(inputs, np.array([3]), 16)
    assert alone["input_ids"].shape == (10, 48) and alone["input_ids"].shape in all_shapes
