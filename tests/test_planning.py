"The smallest detectable difference: its formula, what is impossible, wrong values."
import numpy as np, pytest

from upgradeability import detectable_difference, evaluate, verdict
from upgradeability.planning import simulated_power

def test_the_difference_solves_its_equation():
    n, d = 1500, .08
    found = detectable_difference(n, accuracy=.8, agreement=1 - d)
    assert np.isclose(found * np.sqrt(n), 1.959964 * np.sqrt(d) + .841621 * np.sqrt(d - found**2), rtol=1e-5)

def test_more_power_more_examples_and_more_agreement():
    at = lambda n=1000, agreement=.9, power=.8: detectable_difference(n, accuracy=.7, agreement=agreement, power=power)
    assert at(power=.9) > at() > at(n=4000) and at(agreement=.95) < at()

def test_impossible_gains_are_infinite():
    assert detectable_difference(100, accuracy=.99, agreement=.95) == np.inf # 5 % discordant, 1 % left to fix
    assert detectable_difference(20, accuracy=.5, agreement=.95) == np.inf # more than all discordant examples

def test_the_exact_test_has_this_power():
    found = detectable_difference(800, accuracy=.6, agreement=.85, power=.9)
    assert abs(simulated_power(800, .15, found, seed=1) - .9) < .025

@pytest.mark.parametrize("wrong", [dict(n_test=0), dict(accuracy=85), dict(agreement=1.), dict(power=.4)])
def test_wrong_values(wrong):
    with pytest.raises(ValueError, match="should be"): detectable_difference(**dict(n_test=100, accuracy=.8, agreement=.9) | wrong)


def test_a_report_says_what_its_test_set_could_show(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4)).astype(np.float32)
    y = (x[:, 0] + .5 * rng.normal(size=500) > 0).astype(int)
    task = x[:100], y[:100], x[100:], y[100:]
    df = evaluate("bundled:identity", task, protocols="linear_probe", out_dir=tmp_path)
    probe = df[df.protocol == "linear_probe"].iloc[0]
    least = detectable_difference(400, accuracy=probe.test, agreement=max(.9, probe.test))
    assert "With 400 independent test examples" in verdict(df) and f"a gain of {least:.3f}" in verdict(df)
    other = evaluate("bundled:identity", task, protocols="linear_probe", metric="macro_f1", out_dir=tmp_path)
    assert "independent test examples" not in verdict(other)
