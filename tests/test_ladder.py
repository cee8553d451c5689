"The linear probe on several layers: the features of each rung, the choice among them, and what every kind of task gets."
from dataclasses import replace
from threading import Thread
import numpy as np, pytest, torch
from torch import nn
from upgradeability.datasets import load_task
from upgradeability.evaluation import evaluate
from upgradeability.features import extract
from upgradeability.finetuning import protocol_for
from upgradeability.ladder import (
    JOINED, OWN, block_names, layer_probe, make_ladder, mean_and_error, probe_layers, try_rungs, watching)
from upgradeability.models import load_backbone
from upgradeability.protocols import choose_C, choose_start, choose_strength, fit_rows, judged_losses, linear_probe, values_at


class Stages(nn.Module):
    "A stem, five blocks, and a head on their mean."
    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.stem = nn.Conv2d(1, 4, 3, padding=1)
            self.blocks = nn.Sequential(*[nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(inplace=True)) for _ in range(5)])
            self.last, self.head = nn.Conv2d(4, 9, 1), nn.Linear(9, 3)
    def forward(self, x): return self.head(self.last(self.blocks(self.stem(x))).mean((2, 3)))


def pictures(n=90, n_test=60, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n + n_test) % 3
    x = rng.normal(size=(n + n_test, 1, 8, 8)).astype(np.float32)
    for c in range(3): x[y == c, :, 2 * c:2 * c + 2] += .7
    return load_task((x[:n], y[:n], x[n:], y[n:]))


@pytest.fixture(scope='module')
def task(): return pictures()

@pytest.fixture(scope='module')
def net(): return load_backbone(Stages(), device='cpu')

@pytest.fixture(scope='module')
def ladder(net, task): return make_ladder(net, task)

@pytest.fixture(scope='module')
def found(ladder, task): return extract(ladder.backbone, task, runtime='torch')


def features_of(task): return lambda network: extract(network, task, runtime='torch')


def test_rungs_are_the_bits_of_single_layers(net, task, ladder, found):
    "The own features, every mean, and the joined rung equal what `extract` gives without a ladder."
    alone = extract(net, task, runtime='torch')
    assert np.array_equal(ladder.part(found, ladder.rungs[0]).x, alone.x) and np.array_equal(found.source_probs, alone.source_probs)
    means = {}
    for rung in ladder.rungs:
        if rung.pooling != 'mean': continue
        single = load_backbone(net.module, layer=rung.layer, pooling='mean', device='cpu')
        means[rung.depth] = extract(single, task, runtime='torch').x
        assert np.array_equal(ladder.part(found, rung).x, means[rung.depth]), rung
    joined = next(rung for rung in ladder.rungs if rung.layer == JOINED)
    assert np.array_equal(ladder.part(found, joined).x, np.hstack([means[3], means[4], means[5], alone.x]))
    assert [rung.depth for rung in ladder.rungs if rung.pooling == 'max'] == [5, 4, 3, 1]


def test_the_largest_values(net, task, ladder, found):
    seen = []
    rung = next(rung for rung in ladder.rungs if rung.pooling == 'max' and rung.depth == 1)
    with torch.no_grad(), net.module.blocks[0].register_forward_hook(lambda m, a, out: seen.append(out.amax((2, 3)))):
        net.module(torch.as_tensor(task.inputs.items))
    np.testing.assert_allclose(ladder.part(found, rung).x, values_at_ids(seen[0].numpy(), found), rtol=1e-5, atol=1e-6)


def values_at_ids(x, found): return x[found.ids]


def test_one_pass_is_cached_and_leaves_the_network_alone(net, task, ladder, found):
    assert extract(ladder.backbone, task, runtime='torch').meta['computed'] == 0
    assert make_ladder(net, task).backbone.fingerprint == ladder.backbone.fingerprint != net.fingerprint
    assert not any(m._forward_hooks for m in net.module.modules())


def test_blocks_end_with_what_follows_them():
    cnn = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5), nn.ReLU(), nn.Linear(5, 3))
    assert block_names(cnn) == ['0', '3', '5', '6']
    assert block_names(nn.Linear(2, 2)) == [] and block_names(nn.ModuleDict(dict(a=nn.Sequential(nn.Linear(2, 2))))) == []


def test_the_head_and_what_follows_it_are_no_rungs(task):
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 3), nn.Softmax(1))
    ladder = make_ladder(load_backbone(flat, device='cpu'), task)
    assert ladder.backbone.head == '3' and ladder.blocks == 1
    assert [rung.layer for rung in ladder.rungs] == [OWN] # the output of its only block equals the own features


def test_without_late_blocks_nothing_is_joined(task):
    "The last three blocks change nothing, so they are left out, and the columns are still those of the layers."
    net = nn.Sequential(nn.Flatten(), *[nn.Linear(64, 64) for _ in range(6)], nn.Linear(64, 3))
    with torch.no_grad():
        for layer in net[3:7]: layer.weight.copy_(torch.eye(64)); layer.bias.zero_()
    net = load_backbone(net, device='cpu')
    ladder = make_ladder(net, task)
    assert [(rung.layer, rung.depth) for rung in ladder.rungs] == [(OWN, 7), ('1', 1)]
    assert np.array_equal(ladder.part(extract(ladder.backbone, task), ladder.rungs[1]).x, extract(load_backbone(net.module, layer='1', device='cpu'), task).x)


def test_a_class_token_is_a_pooling(tmp_path, monkeypatch):
    "In float32 and an own cache: what another process computed may differ in its last bit."
    pytest.importorskip('timm')
    monkeypatch.setenv('UPGRADEABILITY_CACHE', str(tmp_path))
    vit = load_backbone('timm:test_vit?random', device='cpu')
    digits = load_task('digits', n_train=20)
    rows = digits.splits['train']
    ladder = make_ladder(vit, digits)
    assert {rung.pooling for rung in ladder.rungs} == {'', 'mean', 'cls'}
    of_ladder = extract(ladder.backbone, digits, rows=rows, dtype='float32', runtime='torch')
    for rung in ladder.rungs:
        if rung.layer == JOINED or rung.depth == 1: continue
        single = vit if rung.layer == OWN else load_backbone('timm:test_vit?random', layer=rung.layer, pooling=rung.pooling, device='cpu')
        alone = extract(single, digits, rows=rows, dtype='float32', runtime='torch')
        np.testing.assert_allclose(ladder.part(of_ladder, rung).x, alone.x, atol=1e-5, err_msg=str(rung))


def test_other_threads_are_not_watched(net):
    seen, x = [], torch.zeros(1, 1, 8, 8)
    with watching(net.module, ['stem'], lambda name, out: seen.append(name)):
        other = Thread(target=net.module, args=(x,))
        other.start(); other.join()
        assert seen == []
        net.module(x)
    assert seen == ['stem']


# --- the choice

def test_the_choice_equals_a_loop_over_single_layers(net, task, ladder, found):
    "Strength and loss of each rung are those of `choose_C` on the features of that layer alone."
    rows = fit_rows(task)
    for each in try_rungs(ladder, found, task, choose_start):
        x = values_at(found, ladder.part(found, each.rung).x.copy(), rows)
        assert each.choices == choose_C(x, task.y[rows], len(task.splits['train']), 3, patience=5)
    parts = layer_probe(net, task, features_of(task))
    stored = parts['test'].meta['ladder']
    assert sum(row['chosen'] for row in stored) == 1 and stored[0]['layer'] == OWN
    assert parts['test'].meta['choices']['tried'] == sum(each.choices['tried'] for each in try_rungs(ladder, found, task, choose_start))


def test_test_examples_change_no_rung(net, task):
    "Shuffled test labels and other test examples: same rungs, losses, choices and answers on train."
    rng = np.random.default_rng(0)
    y, x, test = task.y.copy(), task.inputs.items.copy(), task.splits['test']
    y[test] = rng.permutation(y[test])
    x[test] = rng.normal(size=x[test].shape)
    n = len(fit_rows(task))
    other = load_task((x[:n], y[:n], x[n:], y[n:]))
    a, b = (layer_probe(net, t, features_of(t)) for t in (task, other))
    for name in ('choices', 'ladder', 'notes'): assert a['test'].meta[name] == b['test'].meta[name]
    assert np.array_equal(a['train'].scores, b['train'].scores) and not np.array_equal(a['test'].y, b['test'].y)


def test_a_lead_within_one_standard_error_is_luck(net, task):
    "The rung with the lowest loss is taken, unless its examples do not show that it is better."
    lead = dict(found=.05)
    def choose(task, x, y): return dict(C=1., tried=1, by='valid log-loss', boundary=False, log_loss={1.: 1. if x.shape[1] == 9 else .9}), None
    def judge(task, x, y, choices):
        better = x.shape[1] != 9
        return np.arange(4), np.array([1., 1, 1, 1]) - better * (lead['found'] + np.array([-1., 1, -1, 1]) * .2)
    def answer(part, task, choices, near): return linear_probe(net, task, lambda network: part)
    layers = []
    for lead['found'] in (.09, .11): # the standard error is .2 / sqrt(4)
        parts = probe_layers(net, task, features_of(task), choose, judge, answer)
        layers.append(next(row['layer'] for row in parts['test'].meta['ladder'] if row['chosen']))
        assert ('one standard error' in parts['test'].meta['notes'][-1]) == (layers[-1] == OWN)
    assert layers == [OWN, JOINED]


def test_judged_losses_are_those_of_the_choice(task, found, ladder):
    rows = fit_rows(task)
    x, y = values_at(found, found.x, rows), task.y[rows]
    choices = choose_strength(task, x, y)
    judged, losses = judged_losses(task, x, y, choices)
    assert losses.mean() == pytest.approx(choices['log_loss'][choices['C']], abs=1e-4)
    assert np.array_equal(np.sort(judged), np.arange(len(task.splits['train']), len(rows)))


def test_errors_of_units_are_those_of_their_sums():
    values, units = np.random.default_rng(0).normal(size=30), np.repeat(np.arange(10), 3)
    mean, error = mean_and_error(values, units)
    sums = (values - values.mean()).reshape(10, 3).sum(1)
    assert mean == pytest.approx(values.mean()) and error == pytest.approx(np.sqrt((sums**2).sum()) / 30)
    assert mean_and_error(values)[1] == pytest.approx(values.std() / np.sqrt(30))


def test_without_blocks_it_is_the_linear_probe():
    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(64, 6), nn.Linear(6, 3)
        def forward(self, x): return self.b(torch.relu(self.a(x.flatten(1))))
    task, one = pictures(), load_backbone(One(), device='cpu')
    a, b = layer_probe(one, task, features_of(task)), linear_probe(one, task, features_of(task))
    assert np.array_equal(a['test'].scores, b['test'].scores) and 'no repeated blocks' in a['test'].meta['notes'][-1]


def test_with_one_label_per_class_nothing_is_chosen(net, task):
    few = replace(task, splits=dict(task.splits, train=np.arange(3), valid=np.arange(0)))
    a, b = layer_probe(net, few, features_of(few)), linear_probe(net, few, features_of(few))
    assert np.array_equal(a['test'].scores, b['test'].scores) and a['test'].meta['choices']['layer'] == OWN


# --- kinds of tasks and fields

def test_kinds(net, tmp_path):
    "Grades and numbers have it, and recommendation says what it has instead."
    task = pictures()
    x = task.inputs.items
    numbers = load_task((x[:90], x[:90].mean((1, 2, 3)) + .5, x[90:], x[90:].mean((1, 2, 3)) + .5))
    df = evaluate(net, [task, numbers], protocols='linear_probe, layer_probe', out_dir=tmp_path)
    assert (df.error == '').all()
    for row in df[df.protocol == 'layer_probe'].itertuples():
        meta = df.predictions(row.key)['test'].meta
        assert len(meta['ladder']) == 10 and meta['choices']['by'].split()[-1] in ('log-loss', 'error')
        assert 'blocks 1, 3, 4, 5 of 5' in str(meta['reading']['model'])
    with pytest.raises(ValueError, match='There is no .layer_probe. for recommendation'): protocol_for('layer_probe', 'recommendation')


def test_texts_and_words(tmp_path):
    "Hidden layers of a text model, by the mean, the first token, and of words."
    pytest.importorskip('sentence_transformers')
    model = load_backbone('bundled:minilm', device='cpu')
    texts = [f'{a} the {b}' for a in ('open', 'close', 'paint', 'lift') for b in ('door', 'old window', 'box', 'lid of it', 'car', 'gate')]
    y = np.repeat([0, 1, 2, 3], 6)
    train, test = np.arange(24) % 6 < 4, np.arange(24) % 6 >= 4
    pick = lambda keep: [t for t, k in zip(texts, keep) if k]
    task = load_task((pick(train), y[train], pick(test), y[test]))
    ladder = make_ladder(model, task)
    found = extract(ladder.backbone, task, runtime='torch')
    assert np.array_equal(ladder.part(found, ladder.rungs[0]).x, extract(model, task, runtime='torch').x)
    assert ladder.blocks == 6 and {rung.pooling for rung in ladder.rungs} == {'', 'mean', 'cls'}
    for rung in [rung for rung in ladder.rungs if rung.depth == 3 and rung.pooling == 'cls']:
        single = load_backbone('bundled:minilm', layer='3', pooling='cls', device='cpu')
        np.testing.assert_allclose(ladder.part(found, rung).x, extract(single, task, runtime='torch').x, rtol=1e-4, atol=1e-5)
    path = tmp_path/'words'
    path.mkdir()
    for split, n in dict(train=30, test=12).items():
        lines = [f'{w}\t{tag}' for i in range(n) for w, tag in (('Ann', 'B-PER'), ('met', 'O'), (f'x{i % 7}', 'O'), ('', ''))]
        (path/f'{split}.conll').write_text('\n'.join('' if line == '\t' else line for line in lines) + '\n')
    df = evaluate(model, f'conll:{path}', protocols='layer_probe', out_dir=tmp_path/'run')
    assert (df.error == '').all() and df.test[0] == 1
    assert {row['pooling'] for row in df.predictions(df.key[0])['test'].meta['ladder']} == {'', 'word'}
