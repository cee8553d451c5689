"How well does a pretrained model carry over to my data, what do I gain, and how sure is that?"
__version__ = "0.1.0"

# What is public, by module. Modules are imported at first use: papermill imports this package at each of its starts,
# and PyTorch takes seconds.
_PUBLIC = {
    "reading": "Reading",
    "tasks": "Inputs Task make_task",
    "datasets": "TASKS load_task",
    "backbones": "Backbone",
    "models": "MODELS load_backbone randomize",
    "features": "Features cache_info extract prune_cache",
    "metrics": "METRICS Metric Predictions",
    "intervals": "Score score upgradeability",
    "comparisons": "Comparison compare compare_all compare_with gain leader_optimism rank_groups relative_gain",
    "planning": "detectable_difference",
    "draws": "gain_over_seeds score_over_seeds shared_examples upgradeability_over_seeds",
    "ladder": "PROTOCOLS",
    "transfer": "SCORES h_score leep logme nce transferability",
    "jobs": "use_cluster",
    "evaluation": "Results average_seeds evaluate gains read_predictions read_results verify",
    "curves": "Curve label_efficiency learning_curve",
    "corruptions": "SHIFTS",
    "shifts": "Shifts shift",
    "ranking": "Ranking judge_ranking rank_models",
    "improving": "LEVERS improve",
    "checks": "check_task",
    "plots": "plot_calibration plot_curve plot_flips plot_gains plot_ranking plot_scores",
    "kinds.recommendation_protocols": "RECOMMENDERS",
    "kinds.recommendation": "ndcg plot_by_history plot_hits plot_recommendations recall",
    "verdicts": "verdict verdict_compare verdict_curve verdict_rank",
    "answers": "read_answers",
    "under_shift": "performance_line robustness",
    "shift_report": "verdict_shift",
    "improve_report": "verdict_improve",
    "decision": "decide decide_files",
    "exports": "log_to_mlflow model_card",
    "report": "show_reading show_table write_report",
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names.split()}
__all__ = list(_HOME)

def __getattr__(name):
    from importlib import import_module
    if name not in _HOME: raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("METRICS", "TASKS"): import_module(f"{__name__}.kind").load_kinds()  # kinds add entries of their own
    found = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return import_module(f"{__name__}.docments").complete_doc(found)  # `help` and `?` show the parameters

def __dir__(): return sorted({*globals(), *__all__})
