"""How well does a pretrained model carry over to my data, what do I gain, and how sure is that?"""
__version__ = "0.1.0"

from .tasks import TASKS, Inputs, Task, load_task, make_task
from .models import MODELS, Backbone, load_backbone, randomize
from .features import Features, extract
from .metrics import METRICS, Comparison, Metric, Predictions, Score, compare, gain, relative_gain, score, upgradeability
from .protocols import PROTOCOLS
from .transferability import SCORES, h_score, leep, logme, nce, transferability
from .evaluation import average_seeds, evaluate, gains, read_predictions
