"""How often `improve` finds a gain where there is none: levers that change nothing but noise, on made data.

`noise`: the labels are coins, so that every model is right in half of the cases. `signal`: some features tell the class, and each lever has its own
block of useless ones: levers and the linear probe are alike on average, but not one by one.

nice -n 10 python benchmarks/improve.py [--runs 300] [--levers 6]
"""
import argparse, warnings
from tempfile import TemporaryDirectory
import numpy as np, torch
from torch import nn
from upgradeability import improve, LEVERS
from upgradeability.improving import Candidate
from upgradeability.models import load_backbone

SIGNAL, BLOCK, TRAIN, TEST = 3, 10, 80, 200

class Columns(nn.Module):
    "The first columns, and a block of others."
    def __init__(self, block):
        super().__init__()
        own = SIGNAL + BLOCK * block + torch.arange(BLOCK)
        self.register_buffer('columns', torch.cat([torch.arange(SIGNAL), own]))

    def forward(self, x): return x[:, self.columns]

def null_lever(block):
    "A lever that looks at another block of noise."
    def candidates(start): return [Candidate(load_backbone(Columns(block), device='cpu'), 'linear_probe', new_pass=True)]
    return candidates

def made_data(rng, n_blocks, share):
    "A task as arrays; share: how much the first columns say about the class."
    n = TRAIN + TEST
    x = rng.normal(size=(n, SIGNAL + BLOCK * n_blocks)).astype(np.float32)
    y = (share * x[:, 0] + rng.normal(size=n) > 0).astype(int)
    return x[:TRAIN], y[:TRAIN], x[TRAIN:], y[TRAIN:]

def one_run(seed, n_levers, share, folder):
    "Smallest p-value after Holm, and without it, of the tested levers."
    rng = np.random.default_rng(seed)
    data = made_data(rng, n_levers + 1, share)
    df = improve(Columns(0), data, levers=[f'null {i}' for i in range(n_levers)], out_dir=folder, seed=seed, device='cpu', dtype='float32', runtime='torch')
    tested = df.tested
    return tested.p_holm.min(), tested.p.min(), len(tested)

def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--runs', type=int, default=300)
    parser.add_argument('--levers', type=int, default=6)
    args = parser.parse_args()
    warnings.simplefilter('ignore')
    for i in range(args.levers): LEVERS[f'null {i}'] = null_lever(i + 1)
    for name, share in dict(noise=0., signal=1.).items():
        found = []
        for seed in range(args.runs):
            with TemporaryDirectory() as folder: found.append(one_run(seed, args.levers, share, folder))
            if seed % 50 == 49 or seed == args.runs - 1:
                holm, plain, tested = map(np.array, zip(*found))
                error = np.sqrt(.05 * .95 / len(holm))
                print(f'{name}: {len(holm)} runs of {args.levers} levers, {tested.mean():.1f} tested; a false gain or loss at 5 %: '
                      f'{(holm < .05).mean():.3f} after Holm (± {2 * error:.3f}), {(plain < .05).mean():.3f} without', flush=True)

if __name__ == '__main__': main()
