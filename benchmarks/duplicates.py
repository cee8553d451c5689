"""How long the search for copies takes, and what it finds of those that were planted: pictures as directions, and texts.

python benchmarks/duplicates.py [--n 20000]
"""
import argparse, time
import numpy as np
from upgradeability.checks import near_pairs, normalised

def timed(f, *args):
    start = time.perf_counter()
    return f(*args), time.perf_counter() - start

def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--n', type=int, default=20_000, help='pictures and texts')
    n, rng = parser.parse_args().n, np.random.default_rng(0)
    z = rng.normal(size=(n, 63))
    copies = z[:n // 20] + .3 * rng.normal(size=(n // 20, 63))
    z = np.r_[z, copies].astype(np.float32)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    pairs, seconds = timed(near_pairs, z)
    planted = {(i, n + i) for i in range(len(copies))}
    found = {tuple(p) for p in pairs.tolist()}
    print(f'pictures: {len(z):,} in {seconds:.1f} s ({len(z)**2 / 2e6:,.0f} million pairs); {len(found & planted) / len(planted):.1%} of the planted pairs, {len(found - planted)} others')
    texts = [' '.join(map(str, rng.integers(0, 1000, 12))) for _ in range(n)]
    forms, seconds = timed(normalised, [*texts, *(t.replace(' ', ', ').upper() for t in texts[:n // 20])])
    print(f'texts: {len(forms):,} in {seconds:.2f} s; {len(forms) - len(set(forms)):,} copies of {n // 20:,}')

if __name__ == '__main__': main()
