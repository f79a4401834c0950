"""Killed with SIGKILL at ten random moments and resumed: the same losses and weights, bit for bit."""

import json
import subprocess
import sys
from pathlib import Path


def test_ten_kills_change_nothing(tmp_path: Path) -> None:
    probe = Path(__file__).with_name("kill_training_probe.py")
    done = subprocess.run([sys.executable, probe, tmp_path], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result == {"kills": 10, "status": 0, "epochs": 6, "same_history": True, "same_weights": True}
