"""Does fine-tuning fall below the linear probe that its head starts from, and where does it pass it?

python benchmarks/fine_tuning.py folder:../shared/data/cifar10-jpeg                        # 50, 200 and 1,000 labels
python benchmarks/fine_tuning.py csv:banking.csv --model bundled:minilm --labels 200,1000 --option average=true
"""
import argparse

import numpy as np

from upgradeability import compare, evaluate


def beside_the_probe(model, task, n_train, options, out_dir=None):
    "One row: accuracy of both protocols on the same test examples, and the paired difference."
    spec = "fine_tune?" + "&".join(options) if options else "fine_tune"
    table = evaluate(model, task, protocols=["linear_probe", spec], n_train=n_train, out_dir=out_dir)
    rows = table[table.protocol != "majority"]
    probe, tuned = (table.predictions(row) for _, row in rows.iterrows())
    found = compare(probe["test"], tuned["test"], "accuracy")
    difference, choices = found.difference, tuned["test"].meta["choices"]
    return {
        "labels": n_train,
        "probe": np.mean(probe["test"].pred == probe["test"].y),
        "fine_tune": np.mean(tuned["test"].pred == tuned["test"].y),
        "difference": f"{difference.value:+.3f} [{difference.low:.3f}, {difference.high:.3f}]",
        "p": found.p_value,
        "chosen": ", ".join(f"{name}={choices[name]:g}" for name in ("lr", "epoch", "average") if name in choices),
        "seconds": rows.seconds.iloc[1]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task")
    parser.add_argument("--model", default="bundled:efficientnet_lite0")
    parser.add_argument("--labels", default="50,200,1000", help="numbers of labels, train and valid together")
    parser.add_argument("--option", action="append", default=[], help="of fine_tune, such as epochs=4; may be given several times")
    parser.add_argument("--out", help="folder for the predictions; by default the cache")
    args = parser.parse_args()
    print(f"{args.model} on {args.task}, {' '.join(args.option) or 'default recipe'}")
    print("| labels | linear_probe | fine_tune | difference | p | chosen on valid | seconds |")
    print("|---|---|---|---|---|---|---|")
    for n in map(int, args.labels.split(",")):
        row = beside_the_probe(args.model, args.task, n, args.option, args.out)
        print(f"| {n:,} | {row['probe']:.3f} | {row['fine_tune']:.3f} | {row['difference']} | {row['p']:.2g} | {row['chosen']} | {row['seconds']:.0f} |", flush=True)
