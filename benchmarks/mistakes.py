"""Ordinary mistakes and what a user is told: `python benchmarks/mistakes.py` prints a table in Markdown

Each mistake of the command is made in a process of its own, as a user makes it; those of Python in one process, after the
imports. The tests (`tests/test_mistakes.py`) check the same table for its words, and that each message is one line.
"""
import subprocess, sys, time, warnings
from pathlib import Path
from tempfile import TemporaryDirectory

COMMAND = [ # words after `upgradeability`, words of the message; all end before PyTorch is loaded
    ("evl", "Did you mean 'eval'"),
    ("eval resnet50", "--model resnet50"),
    ("eval -p model resnet50", "--help"),
    ("eval --modle resnet50", "Did you mean '--model'"),
    ("eval --model", "--help"),
    ("eval --model resnet5O", "Did you mean 'resnet50'"),
    ("eval --model bert-base-uncased", "'hf:bert-base-uncased'"),
    ("eval --model ResNet-50", "Did you mean 'resnet50'"),
    ("eval --model timn:resnet50", "Did you mean 'timm'"),
    ("eval --model timm:resnet5O", "Did you mean 'resnet50'"),
    ("eval --model ./net.pth", "'file:./net.pth:ARCH'"),
    ("eval --model file:net.pth", "file:net.pth:resnet50"),
    ("eval --model file:nte.pth:resnet18", "Did you mean 'net.pth'"),
    ("eval --model file:net.pth:resnet81", "Did you mean 'resnet18'"),
    ("eval --model hf:./minilm", "no folder './minilm'"),
    ("eval --model digits --task resnet50", "swapped"),
    ("eval --task resnet50", "swapped"),
    ("eval --task timm:resnet50", "swapped"),
    ("eval --model folder:pets", "swapped"),
    ("eval --task cifer10", "Did you mean 'cifar10'"),
    ("eval --task pets", "'folder:pets'"),
    ("eval --task reviews.csv", "'csv:reviews.csv'"),
    ("eval --task csv:review.csv", "Did you mean 'reviews.csv'"),
    ("eval --task folder:pet", "Did you mean 'pets'"),
    ("eval --task foldr:pets", "Did you mean 'folder'"),
    ("eval --protocols linear_prob", "Did you mean 'linear_probe'"),
    ("eval --protocols knn,finetune", "Did you mean 'fine_tune'"),
    ("eval --metric f1", "Did you mean 'macro_f1' or 'span_f1'"),
    ("eval --metric acc", "Did you mean 'accuracy'"),
    ("eval --device gpu", "Did you mean 'cuda'"),
    ("eval --dtype fp16", "bfloat16"),
    ("eval --baseline majorty", "Did you mean 'majority'"),
    ("eval --n-train many", "should be a whole number"),
    ("eval --n-train 10%", "should be a whole number"),
    ("eval --n_train 1.5", "should be a whole number"),
    ("eval --out-dir reviews.csv", "is a file"),
    ("eval --output report.html", "should end in .ipynb"),
    ("compare --model resnet50", "Did you mean '--models'"),
    ("compare --margin 1%", "such as 0.01"),
    ("compare --margin -0.1", "the loss that is accepted"),
    ("compare --incumbent resnet5O", "Did you mean 'resnet50'"),
    ("rank --budget 1h", "should be a number"),
    ("models resnet5O", "Did you mean 'resnet50'"),
    ("verify pets", "has no results"),
    ("decide pets --margin 0.01", "has no results"),
    ("tutorials pets", "nothing is overwritten"),
    ("tutorials", "--help"),
]

RUNS = [ # the same for what is found by the notebook, after PyTorch is loaded; words after `upgradeability`, exit status, words
    ("eval --task csv:reviews.csv?text=body", 2, "Known: "),
    ("eval --task csv:reviews.csv?label=stars", 2, "Known: "),
    ("eval --task folder:empty", 2, "no class folders"),
    ("eval --n-train 5000", None, "1347"),
    ("eval --device cuda:9", None, "cpu"),
    ("eval --protocols fine_tune?epoch=3", 2, "Did you mean 'epochs'"),
    ("curve --sizes 20,many", 2, "whole number"),
    ("eval --model resnet18", 4, "resnet18"),
]

PYTHON = [ # what is called, words of the message
    ("evaluate('digits', 'resnet50')", "swapped"),
    ("evaluate((X, Y), net)", "evaluate('resnet50', (X, y))"),
    ("evaluate(nn.Linear, (X, Y))", "nn.Module"),
    ("evaluate(net, X)", "(X, y)"),
    ("evaluate(net, (X, Y, X))", "(X_train, y_train, X_test, y_test)"),
    ("evaluate(net, (X, Y[:-1]))", "equal lengths"),
    ("evaluate(net, ([[1, 2], [3]], [0, 1]))", "one size"),
    ("evaluate(net, (X, np.eye(2)[Y]))", "argmax(1)"),
    ("evaluate(net, (X, Y), metric='f1')", "Did you mean"),
    ("evaluate(net, (X, Y), device='gpu')", "Did you mean 'cuda'"),
    ("evaluate(net, (X, Y), device='cuda:9')", "leave the device out"),
    ("evaluate(net, (X, Y), n_train='10%')", "whole number"),
    ("evaluate(net, (X, Y), baseline='majorty')", "Did you mean 'majority'"),
    ("load_backbone(nn.Linear)", "give an instance"),
    ("load_backbone(net, pooling='avg')", "Known: cls, flat, mean"),
    ("load_backbone('bert-base-uncased')", "'hf:bert-base-uncased'"),
    ("load_task('csv:review.csv')", "Did you mean 'reviews.csv'"),
    ("load_task({'x': 1})", "arrays (X, y)"),
    ("learning_curve(net, (X, Y), sizes='many')", "whole number"),
    ("rank_models([net], (X, Y), budget='1h')", "such as 600"),
    ("extract(net, (X, Y))", "load_backbone"),
    ("check_task('digits')", "load_task"),
    ("score([0, 1], 'accuracy')", "df.predictions"),
    ("compare([0, 1], [0, 1])", "df.predictions"),
    ("plot_scores([1])", "`evaluate`"),
    ("plot_curve(pd.DataFrame({'model': ['a']}))", "`learning_curve`"),
    ("plot_ranking(pd.DataFrame({'model': ['a']}))", "`rank_models`"),
    ("verdict_curve(pd.DataFrame({'model': ['a']}))", "`learning_curve`"),
    ("verify('pets')", "folder of a run"),
    ("read_predictions('pets', 'a')", "Give that of a run"),
    ("decide('pets', margin='1%')", "such as .01"),
    ("prune_cache('lots')", "'20GB'"),
    ("write_report('evl', 'out.ipynb')", "Did you mean 'eval.ipynb'"),
    ("write_report('eval', 'out.ipynb', modle='resnet50')", "Did you mean 'model'"),
    ("write_report('eval', 'out.ipynb', model=net)", "evaluate(…) in Python"),
]

def make_files(folder):
    "The files that the mistakes are about: a table with semicolons, pictures in folders, a checkpoint, a folder without classes."
    rows = "".join(f"a text of number {i};{'ab'[i % 2]}\n" for i in range(20))
    (folder/"reviews.csv").write_text(f"text;label\n{rows}")
    (folder/"net.pth").write_bytes(b"")
    for name in ("pets/cat", "pets/dog", "empty"): (folder/name).mkdir(parents=True)
    (folder/"pets"/"cat"/"1.jpg").write_bytes(b"")

def run_command(words, folder):
    "(exit status, stderr, seconds) of a command in a process of its own."
    script = "import sys; from upgradeability.command import main; sys.exit(main())"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script, *words.split()], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stderr.strip(), time.perf_counter() - start

def namespace():
    "What the calls in PYTHON use."
    import numpy as np, pandas as pd, upgradeability
    from torch import nn
    X, Y = np.random.default_rng(0).normal(size=(40, 6)).astype("f4"), np.arange(40) % 2
    public = {name: getattr(upgradeability, name) for name in upgradeability.__all__}
    return public | dict(np=np, pd=pd, nn=nn, X=X, Y=Y, net=nn.Linear(6, 2))

def call(text, names):
    "(exception and message, seconds) of a call that should fail."
    start = time.perf_counter()
    try: eval(text, dict(names))
    except Exception as e: return f"{type(e).__name__}: {e}", time.perf_counter() - start
    return "no error", time.perf_counter() - start

def line(made, status, message, seconds):
    "A row of the table."
    cells = [f"`{made}`", str(status), f"{seconds:.1f}", " ".join(message.split())[:400]]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

def main():
    import os
    warnings.simplefilter("ignore")
    print("| mistake | exit status | seconds | message |\n|---|---|---|---|")
    with TemporaryDirectory() as tmp:
        folder = Path(tmp)
        make_files(folder)
        for words in [row[0] for row in COMMAND + RUNS]:
            status, said, seconds = run_command(words, folder)
            print(line(f"upgradeability {words}", status, said, seconds), flush=True)
        os.chdir(folder)
        names = namespace()
        for text, _ in PYTHON:
            said, seconds = call(text, names)
            print(line(text, "", said, seconds), flush=True)
        os.chdir("/")

if __name__ == "__main__": main()
