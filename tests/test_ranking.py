"Rankings within a budget: plans that fit, a clock that is asked, and choices that never see the test set."
from dataclasses import replace
from types import SimpleNamespace
import json
import numpy as np, pandas as pd, pytest, torch
from sklearn.datasets import load_digits
from torch import nn
from upgradeability import ranking
from upgradeability.ranking import StepCost, _chances, check_ranking, judge_ranking, plan_halving, rank_models
from upgradeability.models import load_backbone
from upgradeability.datasets import load_task


@pytest.fixture(scope='module')
def arrays():
    d = load_digits()
    x = (d.images / 16).astype(np.float32)
    return x[:900].reshape(900, -1), d.target[:900], x[900:].reshape(-1, 64), d.target[900:]


def mlp(seed, width=64):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))


@pytest.mark.parametrize('m,budget', [(1, 10), (2, 10), (8, 100), (50, 1000)])
def test_plan_fits_its_budget(m, budget):
    plan = plan_halving({str(i): StepCost(.1, .01 * (1 + i % 3), 1e-6) for i in range(m)}, budget, smallest=10, largest=10**6)
    assert plan.seconds.sum() <= budget * (1 + 1e-9) and plan.models.iloc[0] == m and plan.models.iloc[-1] == 1
    assert plan.examples.is_monotonic_increasing


def test_plan_never_asks_for_more_than_there_is():
    plan = plan_halving({'a': StepCost(0, .001, 0), 'b': StepCost(0, .002, 0)}, 10**6, smallest=10, largest=300)
    assert plan.examples.tolist() == [300] # all models on all examples: nothing is left for a second rung


def test_plan_pays_for_loading_and_scoring_too():
    free = {m: StepCost(0, .01, 0) for m in 'abcd'}
    seconds = lambda costs: plan_halving(costs, 60, smallest=32, largest=10**5)
    dear = seconds({m: StepCost(2, .01, 1e-6) for m in 'abcd'})
    assert dear.examples.iloc[-1] < .8 * seconds(free).examples.iloc[-1] and dear.seconds.sum() <= 60
    assert dear.seconds.iloc[0] == pytest.approx(4 * StepCost(2, .01, 1e-6).seconds(dear.examples[0], dear.examples[0]))


def test_plan_adds_whole_batches():
    plan = plan_halving({str(i): StepCost(.1, .01, 0) for i in range(8)}, 60, smallest=100, largest=5000, step=64)
    assert (np.diff(plan.examples) % 64 == 0).all() and (plan.examples[0] - 100) % 64 == 0


def test_chances_sum_to_one_and_equal_models_share():
    same = [dict(rung=0, model=m, score=.5, se=.1) for m in 'abcd']
    p = _chances(same, 0)
    assert sum(p.values()) == pytest.approx(1) and all(abs(v - .25) < .02 for v in p.values())


def random_labels_net():
    "Ten outputs that say nothing: constant features with a little noise that the labels do not know."
    net = mlp(3, 64)
    with torch.no_grad(): net[0].weight.mul_(1e-4 * torch.randn(64, 64, generator=torch.Generator().manual_seed(0)))
    return net


@pytest.fixture(scope='module')
def candidates(arrays):
    torch.manual_seed(0)
    good = mlp(0)
    opt = torch.optim.Adam(good.parameters(), 3e-3)
    x, y = torch.as_tensor(arrays[0]), torch.as_tensor(arrays[1])
    for _ in range(150):
        loss = nn.functional.cross_entropy(good(x), y); opt.zero_grad(); loss.backward(); opt.step()
    return {'trained': load_backbone(good), 'narrow': load_backbone(mlp(1, 2)), 'tiny': load_backbone(mlp(2, 1)), 'thin': load_backbone(mlp(4, 3))}


def test_the_right_model_comes_first_and_a_rerun_decides_the_same(arrays, candidates, tmp_path):
    task = load_task(arrays)
    first = rank_models(candidates, task, budget=60, smallest=100, out_dir=tmp_path)
    assert first.model[0] == 'trained' and first.p_best.sum() == pytest.approx(1) and first.p_best[0] > .9
    plan = json.loads((tmp_path/'plan.json').read_text())
    again = rank_models(candidates, task, budget=60, smallest=100, out_dir=tmp_path)
    assert json.loads((tmp_path/'plan.json').read_text()) == plan
    pd.testing.assert_frame_equal(first, again)
    assert again.attrs['spent'] == first.attrs['spent'] and again.attrs['overrun'] == 0


def test_test_labels_change_no_choice(arrays, candidates, tmp_path):
    task = load_task(arrays)
    y = task.y.copy(); y[task.splits['test']] = np.random.default_rng(0).permutation(y[task.splits['test']])
    a = rank_models(candidates, task, budget=60, smallest=100, out_dir=tmp_path/'a')
    b = rank_models(candidates, replace(task, y=y), budget=60, smallest=100, out_dir=tmp_path/'b')
    assert a.set_index('model').score[a.model[a.rung == 0]].equals(b.set_index('model').score[a.model[a.rung == 0]])
    assert a.model[0] == b.model[0]


def test_without_time_every_model_is_still_seen_once(arrays, candidates, tmp_path):
    df = rank_models(candidates, load_task(arrays), budget=1e-6, smallest=100, out_dir=tmp_path)
    assert len(df) == 4 and df.score.notna().all() and 'over the budget' in df.attrs['remark']
    assert df.attrs['overrun'] == pytest.approx(df.attrs['spent'] - 1e-6)


def test_costs_are_those_of_the_runtime_and_the_type_that_will_run(arrays, candidates, tmp_path, monkeypatch):
    pytest.importorskip('openvino')
    used, start = set(), ranking.start
    def noted(backbone, batch, dtype, engine):
        used.add((dtype, engine))
        return start(backbone, batch, dtype, engine)
    monkeypatch.setattr(ranking, 'start', noted)
    task = load_task(arrays)
    df = rank_models(candidates, task, budget=60, smallest=100, out_dir=tmp_path, runtime='openvino')
    assert used == {('float32', 'openvino')} and df['rank'].notna().all() # small networks on numbers: 'auto' is float32
    rank_models(candidates, task, budget=60, smallest=100, out_dir=tmp_path/'torch', dtype='bfloat16')
    assert used == {('float32', 'openvino'), ('bfloat16', 'torch')}


def test_a_small_memory_halves_the_batch_of_the_warm_up(arrays, candidates, tmp_path, monkeypatch):
    import torch
    sizes, passes = [], ranking._passes
    def small(backbone, task, rows, settings):
        sizes.append(settings['batch_size'])
        if settings['batch_size'] > 16: raise torch.OutOfMemoryError('CUDA out of memory')
        return passes(backbone, task, rows, settings)
    monkeypatch.setattr(ranking, '_passes', small)
    with pytest.warns(UserWarning, match='going on with 16'):
        df = rank_models(candidates, load_task(arrays), budget=60, smallest=100, out_dir=tmp_path)
    assert df['rank'].notna().all() and sizes[:3] == [64, 32, 16]


def test_the_first_step_pays_once():
    cost = StepCost(0, .01, 0, first=3)
    assert cost.seconds(100, 100) == pytest.approx(4) and cost.seconds(50, 150) == pytest.approx(.5)


def slow_steps(monkeypatch, seconds, planned):
    "Steps that take their time, whatever was planned."
    now, step = [0.], ranking._step
    monkeypatch.setattr(ranking, 'time', SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(ranking, '_warm_up', lambda *_: StepCost(planned, .005, 0))
    def late(*args):
        s = step(*args); now[0] += seconds
        return s | dict(seconds=seconds)
    monkeypatch.setattr(ranking, '_step', late)


@pytest.mark.parametrize('seconds', [1., 2., 3., 5.])
def test_the_clock_is_asked_at_the_pace_of_the_machine(arrays, candidates, tmp_path, monkeypatch, seconds):
    "Steps of one planned second and a little: four in the first rung, two and one in the next, of which the last always runs."
    slow_steps(monkeypatch, seconds, 1.)
    df = rank_models(candidates, load_task(arrays), budget=14, smallest=100, keep=1, out_dir=tmp_path)
    taken = [(s['rung'], s['model']) for s in df.attrs['steps']]
    assert [r for r, _ in taken].count(0) == 4 and taken[-1] == (2, 'trained')
    assert df.attrs['spent'] <= max(14, 5 * seconds) # the first rung and the last step are owed in any case
    assert (len(taken) == 7) == (seconds == 1.)
    said = json.loads((tmp_path/'plan.json').read_text())
    assert [tuple(s) for s in said['steps']] == taken and ('not run' in df.attrs['remark']) == (seconds > 1)


def test_what_was_skipped_is_said_with_its_stage(arrays, candidates, tmp_path, monkeypatch):
    slow_steps(monkeypatch, 3., 1.)
    df = rank_models(candidates, load_task(arrays), budget=14, smallest=100, keep=1, out_dir=tmp_path).set_index('model')
    assert df.status['trained'] == 'reached the last rung' and (df.status == 'time ran out before rung 2').sum() == 1 and (df.status == 'dropped after rung 1').sum() == 2


def test_a_broken_model_is_named_and_the_others_ranked(arrays, candidates, tmp_path):
    broken = load_backbone(nn.Sequential(nn.Linear(7, 10)))
    df = rank_models({**candidates, 'broken': broken}, load_task(arrays), budget=30, smallest=100, out_dir=tmp_path)
    assert df.model.iloc[-1] == 'broken' and 'Error' in df.status.iloc[-1] and df['rank'].notna().sum() == 4


def test_judging_evaluates_every_ranked_model(arrays, candidates, tmp_path):
    broken = load_backbone(nn.Sequential(nn.Linear(7, 10)))
    models = {**candidates, 'broken': broken}
    df = rank_models(models, load_task(arrays), budget=30, smallest=100, out_dir=tmp_path/'rank')
    judged = judge_ranking(df, models, arrays, n_train=200, out_dir=tmp_path/'full')
    assert judged.model.tolist() == df.model[:4].tolist() and ((judged.test_low < judged.test) & (judged.test < judged.test_high)).all()
    check = judged.attrs['check']
    assert check['first'] == check['best'] == 'trained' and check['regret'] == 0 and check['weighted_tau'] > .5 and check['saved'] == df.attrs['saved']


def test_check_ranking():
    r = pd.DataFrame(dict(rank=[1, 2, 3], model=['a', 'b', 'c'])); r.attrs['saved'] = .5
    perfect, wrong = check_ranking(r, dict(a=.9, b=.8, c=.7)), check_ranking(r, dict(a=.7, b=.8, c=.9))
    assert perfect.weighted_tau == pytest.approx(1) and perfect.regret == 0
    assert wrong.weighted_tau == pytest.approx(-1) and wrong.regret == pytest.approx(.2)
    assert check_ranking(r, dict(a=.9, b=np.nan, c=.7)).weighted_tau == pytest.approx(1) # one could not be evaluated


# ---- orders that cost nothing

def test_published_accuracy_is_that_of_the_weights():
    assert ranking.published_accuracy('torchvision:resnet50:IMAGENET1K_V2') == pytest.approx(.80858)
    assert ranking.published_accuracy('torchvision:resnet50:IMAGENET1K_V2?layer=layer3') == pytest.approx(.80858)
    for spec in ('torchvision:resnet50:IMAGENET1K_V2?random=0', 'torchvision:resnet50:NONE', 'timm:test_vit', 'object:Net:0a1b', 'torchvision:resnet50'):
        assert np.isnan(ranking.published_accuracy(spec)), spec


def test_free_orders_are_compared_on_the_last_common_rung():
    ranked = pd.DataFrame(dict(model=['a', 'b', 'c'], parameters=[1., 5., 5.], imagenet=[.7, np.nan, np.nan]))
    steps = pd.DataFrame([dict(rung=r, model=m, score=s, se=.03, examples=100 * (r + 1)) for r, m, s in [(0, 'a', .7), (0, 'b', .6), (0, 'c', .2), (1, 'a', .8), (1, 'b', .79)]])
    [free] = ranking.against_free(ranked, steps) # one known accuracy is no order
    half = 1.96 * np.hypot(.03, .03)
    assert free == dict(order='parameters', first='b', equal=2, examples=200, lead=pytest.approx(.01), low=pytest.approx(.01 - half), high=pytest.approx(.01 + half))
    [same] = ranking.against_free(ranked.assign(parameters=[9., 5., 5.]), steps)
    assert same['first'] == 'a' and same['lead'] == same['low'] == same['high'] == 0


def test_free_orders_are_judged_by_full_evaluations():
    r = pd.DataFrame(dict(rank=[1, 2, 3], model=['a', 'b', 'c'], parameters=[1., 2., 3.], imagenet=[.8, np.nan, .7])); r.attrs['saved'] = .5
    free = check_ranking(r, dict(a=.9, b=.8, c=.7)).free
    assert free['parameters'] == dict(weighted_tau=pytest.approx(-1), regret=pytest.approx(.2)) and free['imagenet'] == dict(weighted_tau=pytest.approx(1), regret=0)


def test_a_ranking_shows_the_free_order(arrays, candidates, tmp_path):
    df = rank_models(candidates, load_task(arrays), budget=30, smallest=100, out_dir=tmp_path)
    assert (df.parameters > 0).all() and df.imagenet.isna().all() and [free['order'] for free in df.attrs['free']] in (['parameters'], [])
    shown = df.for_readers()
    assert 'parameters (place)' in shown and not any('ImageNet' in column for column in shown)
