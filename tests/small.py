"Networks and data for jobs in other processes, which import this file, and whether two runs are the same."
import os
from pathlib import Path
import numpy as np, pandas as pd, torch
from torch import nn


class Net(nn.Module):
    "A small network with a head of three classes."
    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.body, self.head = nn.Linear(12, 8), nn.Linear(8, 3)
    def forward(self, x): return self.head(torch.relu(self.body(x)))


class Fragile(Net):
    "The same, but the first process other than the driver that uses it dies."
    def __init__(self, mark, seed=0):
        super().__init__(seed)
        self.mark, self.driver = str(mark), os.getpid()
    def forward(self, x):
        if os.getpid() != self.driver and not Path(self.mark).exists():
            Path(self.mark).touch()
            os._exit(1)
        return super().forward(x)


def data(n=90):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 12)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)


def first_class(backbone, task, features, *, seed=0):
    "A protocol of the user's: always the first class."
    from upgradeability.protocols import fit_rows, predictions_of
    train, test = (np.zeros(len(rows), int) for rows in (fit_rows(task), task.splits['test']))
    return predictions_of(task, (train, None), (test, None))


def assert_same(a, b, keys=True):
    "Two runs have the same tables and predictions, bit for bit, but for the seconds (and the keys)."
    left_out = ['seconds'] if keys else ['seconds', 'key']
    pd.testing.assert_frame_equal(*(pd.DataFrame(o).drop(columns=left_out) for o in (a, b)), check_exact=True)
    for one, two in zip(a.key, b.key):
        if not one: continue
        p, q = a.predictions(one), b.predictions(two)
        for split in p:
            for name in ('ids', 'y', 'pred', 'scores'):
                assert np.array_equal(getattr(p[split], name), getattr(q[split], name)), (one, split, name)
