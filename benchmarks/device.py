"""What a device does with one model, in at most five minutes: `python benchmarks/device.py [--device cuda]`.

Extraction beside the plain loop that a user would write, recovery where memory is too small, `fine_tune`, and a whole evaluation.
"""
import argparse, statistics, tempfile, time, warnings
from pathlib import Path

import torch

from extraction import photos
from upgradeability import evaluate, extract, load_backbone, load_task
from upgradeability.features import model_inputs
from upgradeability.names import check_device


def seconds(f):
    start = time.perf_counter()
    f()
    if torch.cuda.is_available(): torch.cuda.synchronize()
    return time.perf_counter() - start


def plain_loop(backbone, task, batch_size=64):
    "A picture after the other through the preprocessing, a batch after the other through the network, in float32."
    inputs = model_inputs(backbone, task)
    with torch.inference_mode():
        for start in range(0, len(inputs), batch_size):
            rows = range(start, min(start + batch_size, len(inputs)))
            batch = torch.stack([backbone.preprocess(task.inputs[i]) for i in rows])
            backbone.module(batch.to(backbone.device)).cpu()


def extraction(model, task, device, rounds):
    "Ratio of the plain loop's time to that of `extract`, each with an empty cache."
    ratios = []
    for _ in range(rounds):
        backbone = load_backbone(model, device=device)
        slow = seconds(lambda: plain_loop(backbone, task))
        with empty_cache(): fast = seconds(lambda: extract(backbone, task))
        ratios.append(slow / fast)
    print(f'  {model}: {len(task.inputs) / fast:,.0f} pictures/s, {statistics.median(ratios):.1f} times the plain loop')


class empty_cache:
    "A context with a cache of its own."
    def __enter__(self):
        import os
        self.before, self.folder = os.environ.get('UPGRADEABILITY_CACHE'), tempfile.TemporaryDirectory()
        os.environ['UPGRADEABILITY_CACHE'] = self.folder.name

    def __exit__(self, *_):
        import os
        os.environ.pop('UPGRADEABILITY_CACHE')
        if self.before: os.environ['UPGRADEABILITY_CACHE'] = self.before
        self.folder.cleanup()


def recovery(model, task, device):
    "A batch for which the memory of the GPU is made too small."
    if torch.device(device).type != 'cuda': return print('  out of memory: needs a GPU')
    backbone = load_backbone(model, device=device)
    share = 3e9 / torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(share, device)
    try:
        with empty_cache(), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter('always')
            found = extract(backbone, task, batch_size=2048, dtype='float32')
    finally: torch.cuda.set_per_process_memory_fraction(1., device)
    print(f"  out of memory: {len(said)} warnings, finished with batches of {found.meta['batch_size']}")


if __name__ == '__main__':
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    options.add_argument('--n', type=int, default=512, help='pictures')
    options.add_argument('--rounds', type=int, default=3)
    options.add_argument('--model', default='bundled:efficientnet_lite0')
    args = options.parse_args()
    check_device(args.device)
    name = torch.cuda.get_device_name(args.device) if args.device.startswith('cuda') else f'{torch.get_num_threads()} threads'
    print(f'{args.device} ({name}), PyTorch {torch.__version__}')
    with tempfile.TemporaryDirectory() as folder:
        task = load_task(f"folder:{photos(Path(folder)/'photos', args.n)}")
        extraction(args.model, task, args.device, args.rounds)
        recovery(args.model, task, args.device)
        with empty_cache():
            took = seconds(lambda: evaluate(args.model, task, protocols='fine_tune?epochs=1&lrs=0.0003', device=args.device, out_dir=f'{folder}/tuned'))
            print(f'  fine_tune, one epoch: {took:.1f} s')
            took = seconds(lambda: evaluate(args.model, task, protocols='majority, knn, linear_probe, random_probe', device=args.device, out_dir=f'{folder}/run'))
            print(f'  evaluate with four protocols: {took:.1f} s')
