"""Time and memory per row as a task grows: `python benchmarks/growth.py [--sizes 10000,100000,1000000]`.

Made rows of 64 numbers in two classes, a small network, `majority` and `linear_probe`; each size in a process of its own.
"""
import argparse, json, os, resource, subprocess, sys, tempfile, time

D = 64 # numbers in a row


def start_memory():
    "Peak memory in bytes until now."
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def one_size(n, profile=None):
    "Seconds and peak memory above the start, the data aside, of a whole evaluation."
    import numpy as np, torch
    from upgradeability import evaluate
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n)
    x = rng.normal(size=(n, D)).astype(np.float32)
    x[:, :4] += y[:, None]
    half = n // 2
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(D, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))
    warm = (x[:200], y[:200], x[200:400], y[200:400])
    evaluate(network, warm, protocols='majority, linear_probe')
    before = start_memory()
    begin, cpu = time.perf_counter(), time.process_time()
    if profile:
        import cProfile
        watch = cProfile.Profile()
        watch.enable()
    evaluate(network, (x[:half], y[:half], x[half:], y[half:]), protocols='majority, linear_probe', batch_size=4096)
    took, cpu = time.perf_counter() - begin, time.process_time() - cpu
    if profile:
        watch.disable()
        watch.dump_stats(profile)
    return dict(n=n, seconds=took, cpu=cpu, bytes=start_memory() - before)


def in_process(n):
    "`one_size` with an empty cache in a process of its own."
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, __file__, '--one', str(n)]
        done = subprocess.run(command, env={**os.environ, 'UPGRADEABILITY_CACHE': cache}, capture_output=True, text=True)
    if done.returncode: sys.exit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == '__main__':
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument('--sizes', default='10000,100000,1000000')
    options.add_argument('--one', type=int, help='one size, in this process')
    options.add_argument('--profile', help='a file for the profile of --one')
    args = options.parse_args()
    if args.one: print(json.dumps(one_size(args.one, args.profile)))
    else:
        print(f'{"rows":>10} {"seconds":>9} {"µs per row":>11} {"CPU µs":>7} {"bytes per row":>14}')
        found = []
        for n in args.sizes.split(','):
            f = in_process(int(n))
            found.append(f)
            print(f"{f['n']:>10,} {f['seconds']:>9.1f} {f['seconds'] / f['n'] * 1e6:>11.1f} {f['cpu'] / f['n'] * 1e6:>7.1f} {f['bytes'] / f['n']:>14,.0f}", flush=True)
        last = found[-1]
        print(f"extrapolated to 10,000,000 rows: {last['seconds'] / last['n'] * 1e7 / 60:.0f} minutes, {last['bytes'] / last['n'] * 1e7 / 1e9:.1f} GB")
