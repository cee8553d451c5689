"""Where the time of feature extraction goes: `python benchmarks/extraction.py`.

Ratios are medians over several rounds in which the competitors take turns, so that they share whatever else the machine is doing.
"""
import argparse, os, statistics, tempfile, time
from pathlib import Path
import numpy as np, torch
from PIL import Image, ImageFilter
from upgradeability.features import batches, extract, model_inputs
from upgradeability.runtimes import encode_batch, resolve_dtype, start
from upgradeability.models import load_backbone
from upgradeability.datasets import load_task


def photos(folder, n, size=(500, 375)):
    "Two class folders of JPEG files with the size, and about the detail, of ImageNet's photographs."
    for i in range(n):
        rng, target = np.random.default_rng(i), Path(folder)/'ab'[i % 2]
        target.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
        grain = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).filter(ImageFilter.GaussianBlur(1))
        Image.blend(coarse, grain, .35).save(target/f'{i}.jpg', quality=90)
    return folder


def rate(n, f):
    start = time.perf_counter()
    f()
    return n / (time.perf_counter() - start)


def in_turn(competitors, rounds):
    "{name: median rate}, and the rates round by round."
    rates = {k: [] for k in competitors}
    for _ in range(rounds):
        for k, f in competitors.items(): rates[k].append(f())
    return {k: statistics.median(v) for k, v in rates.items()}, rates


def ratio(rates, a, b): return statistics.median(x / y for x, y in zip(rates[a], rates[b]))


RUNTIMES = ['openvino'] # beside PyTorch; --compile adds torch.compile


def engine(backbone, batch, dtype, runtime):
    "A pass of one batch in a runtime of its own."
    from upgradeability import runtimes
    run = runtimes.ENGINES[runtime](backbone, batch, dtype)
    return lambda: run(batch)


def numeric_types(names, rounds, n=32):
    "Images per second of the network alone, as PyTorch has it and as extraction runs it."
    print(f'\nThe network alone, batches of {n}: images/s (median of {rounds}) and ratio to float32 with contiguous channels')
    for name in names:
        backbone, batch = load_backbone(name, device='cpu'), torch.randn(n, 3, 224, 224)
        plain = load_backbone(name, device='cpu').module.to(memory_format=torch.contiguous_format)
        def contiguous():
            with torch.inference_mode(): plain(batch)
        ways = {
            'float32 contiguous': contiguous,
            'float32 channels last': lambda: encode_batch(backbone, batch),
            'bfloat16 channels last': lambda: encode_batch(backbone, batch, 'bfloat16')}
        for runtime in RUNTIMES:
            for dtype in ('float32', 'bfloat16'): ways[f'{runtime} {dtype}'] = engine(backbone, batch, dtype, runtime)
        for f in ways.values(): f() # warm up
        found, rates = in_turn({k: lambda f=f: rate(n, f) for k, f in ways.items()}, rounds)
        print(f'  {backbone.spec}')
        for k in ways: print(f'    {k:24}{found[k]:8.1f}   {ratio(rates, k, "float32 contiguous"):5.2f} x')


def waiting(inputs, run, rows, batch_size):
    "Share of the time of an extraction that the network spends waiting for pictures, the first batch aside."
    waited, worked, stream = 0., 0., batches(inputs, rows, batch_size)
    next(stream)
    while True:
        start = time.perf_counter()
        item = next(stream, None)
        waited += time.perf_counter() - start
        if item is None: return waited / (waited + worked)
        start = time.perf_counter()
        run(item[1])
        worked += time.perf_counter() - start


def loading(name, folders, rounds, n, runtime, batch_size=64):
    "Reading, decoding and preprocessing against the network."
    backbone = load_backbone(name, device='cpu')
    dtype, batch = resolve_dtype('auto', backbone), torch.randn(batch_size, 3, 224, 224)
    print(f'\n{backbone.spec} in {dtype}, {runtime}: images/s of each alone, both at once, and the share of the time that the network waits (medians of {rounds})')
    run = start(backbone, batch, dtype, runtime)
    for title, folder in folders.items():
        task = load_task(f'folder:{folder}')
        inputs, rows = model_inputs(backbone, task), np.random.default_rng(0).permutation(len(task.inputs))[:n]
        def together():
            for _, b in batches(inputs, rows, batch_size): run(b)
        found, rates = in_turn({'pictures alone': lambda: rate(len(rows), lambda: sum(1 for _ in batches(inputs, rows, batch_size))), 'network alone': lambda: rate(batch_size, lambda: run(batch)),
            'both': lambda: rate(len(rows), together), 'waiting': lambda: waiting(inputs, run, rows, batch_size)}, rounds)
        print(f'  {title:28}' + ''.join(f'{k} {found[k]:7.1f}   ' for k in list(found)[:3]) + f"waiting {found['waiting']:.0%}   both/network {ratio(rates, 'both', 'network alone'):.2f}   "
              f"both/what sharing the cores allows {found['both'] * (1 / found['pictures alone'] + 1 / found['network alone']):.2f}")


def cached(folder, n):
    "The second call against the first."
    backbone, task = load_backbone('bundled:efficientnet_lite0', device='cpu'), load_task(f'folder:{folder}')
    rows = np.arange(min(n, len(task.inputs)))
    first, second = (extract(backbone, task, rows=rows) for _ in range(2))
    assert second.meta['computed'] == 0 and np.array_equal(first.x, second.x)
    print(f"\n{len(rows)} pictures: computed in {first.meta['seconds']:.2f} s, from the cache in {second.meta['seconds']:.3f} s ({first.meta['seconds'] / second.meta['seconds']:.0f} x)")


if __name__ == '__main__':
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument('--rounds', type=int, default=5)
    options.add_argument('--n', type=int, default=256, help='pictures per round')
    options.add_argument('--compile', action='store_true', help='torch.compile too, which takes a minute to begin')
    options.add_argument('--folder', help='a folder of class folders to read beside the generated photographs')
    args = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ['UPGRADEABILITY_CACHE'] = f'{folder}/cache' # measured from nothing
        made = photos(Path(folder)/'photos', args.n)
        models = ['bundled:efficientnet_lite0', 'torchvision:resnet50?random=0']
        if args.compile: RUNTIMES.append('compile')
        numeric_types(models, args.rounds)
        folders = {'photographs of 500 x 375': made, **({'the folder given': args.folder} if args.folder else {})}
        for name in models:
            for runtime in ('torch', 'openvino'): loading(name, folders, args.rounds, args.n, runtime)
        cached(made, args.n)
