"The comparison with other tools: it begins, and it says what it needs."
import subprocess, sys

def test_help_lists_the_comparisons(root):
    command = [sys.executable, root/"benchmarks"/"peers.py", "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "transformer-ranker" in done.stdout and "--only" in done.stdout
