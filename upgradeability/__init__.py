"How well does a pretrained model carry over to my data, what do I gain, and how sure is that?"
__version__ = "0.1.0"

# What is public, by module. Loaded at first use: papermill imports this package at each of its starts, and PyTorch takes seconds.
_PUBLIC = {
    "reading": "Reading",
    "tasks": "Inputs Task make_task",
    "datasets": "TASKS load_task",
    "backbones": "Backbone",
    "models": "MODELS load_backbone randomize",
    "features": "Features cache_info extract prune_cache",
    "metrics": "METRICS Comparison Metric Predictions Score compare compare_all gain ndcg rank_groups recall relative_gain score upgradeability",
    "protocols": "PROTOCOLS",
    "recommenders": "RECOMMENDERS",
    "transferability": "SCORES h_score leep logme nce transferability",
    "evaluation": "Results average_seeds evaluate gains read_predictions read_results verify",
    "curves": "Curve label_efficiency learning_curve",
    "ranking": "Ranking judge_ranking rank_models",
    "checks": "check_task",
    "plots": "plot_by_history plot_calibration plot_curve plot_flips plot_gains plot_hits plot_ranking plot_recommendations plot_scores",
    "report": "show_reading show_table verdict write_report",
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names.split()}
__all__ = list(_HOME)

def __getattr__(name):
    from importlib import import_module
    if name not in _HOME: raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)

def __dir__(): return sorted({*globals(), *__all__})
