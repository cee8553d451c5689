"""How often `improve` finds a gain where there is none: levers that change nothing but noise, on made data, with real fits.

`noise`: the labels are coins, so that every model is right in half of the cases. `signal`: some features tell the class, and each lever has its own
block of useless ones: levers and the linear probe are alike on average, but not one by one.

nice -n 10 python benchmarks/improve.py [--runs 300] [--levers 6]
"""
import argparse, functools, warnings
from tempfile import TemporaryDirectory
from types import SimpleNamespace
import numpy as np, pandas as pd, torch
from torch import nn
from upgradeability import improve, improving, LEVERS, load_task
from upgradeability.models import load_backbone
from upgradeability.protocols import linear_probe

SIGNAL, BLOCK, TRAIN, TEST = 3, 10, 80, 200

class Columns(nn.Module):
    "The first columns, and a block of others."
    def __init__(self, block):
        super().__init__()
        own = SIGNAL + BLOCK * block + torch.arange(BLOCK)
        self.register_buffer('columns', torch.cat([torch.arange(SIGNAL), own]))

    def forward(self, x): return x[:, self.columns]

@functools.cache
def network(block): return load_backbone(Columns(block), device='cpu')

def null_lever(block):
    "A lever that looks at another block of noise."
    def candidates(start): return [improving.Candidate(network(block), 'linear_probe')]
    return candidates

def made_data(rng, n_blocks, share):
    "A task; share: how much the first column says about the class."
    n = TRAIN + TEST
    x = rng.normal(size=(n, SIGNAL + BLOCK * n_blocks)).astype(np.float32)
    y = (share * x[:, 0] + rng.normal(size=n) > 0).astype(int)
    return load_task((x[:TRAIN], y[:TRAIN], x[TRAIN:], y[TRAIN:]))

def fitted(search, candidate, task, n, out_dir):
    "What `evaluate` gives, without storing it."
    task = task.sample(n, search.start.seed)
    x = candidate.model.module(torch.as_tensor(np.asarray(task.inputs.items))).numpy()
    parts = linear_probe(candidate.model, task, lambda network: SimpleNamespace(x=x, ids=np.arange(len(x))))
    test = (parts['test'].pred == parts['test'].y).mean()
    return pd.Series(dict(model='made', protocol=candidate.protocol, test=test, key=candidate.model.fingerprint)), parts

def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--runs', type=int, default=300)
    parser.add_argument('--levers', type=int, default=6)
    args = parser.parse_args()
    warnings.simplefilter('ignore')
    improving._Search.rows = fitted
    improving._price = lambda *_: {}
    names = [f'null {i}' for i in range(1, args.levers + 1)]
    for i, name in enumerate(names, 1): LEVERS[name] = null_lever(i)
    for name, share in dict(noise=0., signal=1.).items():
        found = []
        for seed in range(args.runs):
            task = made_data(np.random.default_rng(seed), args.levers + 1, share)
            with TemporaryDirectory() as folder: tested = improve(network(0), task, levers=names, out_dir=folder, seed=seed).tested
            found.append((tested.p_holm.min(), tested.p.min(), len(tested)))
            if seed % 50 == 49 or seed == args.runs - 1:
                holm, plain, tested = map(np.array, zip(*found))
                error = np.sqrt(.05 * .95 / len(holm))
                print(f'{name}: {len(holm)} runs of {args.levers} levers, {tested.mean():.1f} tested; a false gain or loss at 5 %: '
                      f'{(holm < .05).mean():.3f} after Holm (± {2 * error:.3f}), {(plain < .05).mean():.3f} without', flush=True)

if __name__ == '__main__': main()
