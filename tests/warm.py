"Kernels for tests that begin with the large libraries imported: they are forked from a process that has imported them once."
import multiprocessing, os, runpy, subprocess, sys, time

from jupyter_client.provisioning import local_provisioner

LIBRARIES = [
    "ipykernel.kernelapp", "ipykernel.ipkernel", "matplotlib_inline.backend_inline", "seaborn", "timm", "torchvision.transforms.v2",
    "upgradeability.kind", "upgradeability.report", "upgradeability.checks", "upgradeability.cards", "upgradeability.curves", "upgradeability.ranking"]
MATTERS = "CUDA", "HF_", "HOME", "HUGGINGFACE_", "IPYTHON", "JUPYTER", "LANG", "LC_", "LD_", "MPL", "OMP_", "PATH", "PYTHON", "TRANSFORMERS_", "TZ", "XDG_"

start_process = local_provisioner.launch_kernel
server = multiprocessing.get_context("forkserver")
server.set_forkserver_preload(LIBRARIES)

def fixed(environment):
    "What a library may have read when it was imported."
    return {name: value for name, value in environment.items() if name.startswith(MATTERS)}

at_start = {}

def become_kernel(command, environment, folder):
    "In the forked process: what the command would have run."
    os.setpgrp()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    module, *options = command[command.index("-m") + 1:]
    parent = environment.get("JPY_PARENT_PID", 0)   # ipykernel has read it already, from the environment of the server
    sys.argv[1:] = [*options, f"--IPKernelApp.parent_handle={parent}"]
    runpy.run_module(module, run_name="__main__", alter_sys=True)

class Forked:
    "A forked kernel, as `subprocess.Popen` would show it."
    stdin = stdout = stderr = None

    def __init__(self, *given):
        self.process = server.Process(target=become_kernel, args=given)
        self.process.start()
        self.pid = self.process.pid
        while self.poll() is None and os.getpgid(self.pid) != self.pid: time.sleep(.005)   # else a signal for its group would reach the tests

    def poll(self): return self.process.exitcode

    def wait(self, timeout=None):
        self.process.join(timeout)
        if self.poll() is None: raise subprocess.TimeoutExpired("kernel", timeout)
        return self.poll()

    def send_signal(self, number):
        if self.poll() is None: os.kill(self.pid, number)

    def kill(self): self.process.kill()
    def terminate(self): self.process.terminate()

def launch_kernel(command, *, env=None, cwd=None, **more):
    "Fork a kernel; another environment or another Python begins from nothing."
    environment = dict(os.environ if env is None else env)
    is_usual = command[0] == sys.executable and "-m" in command and fixed(environment) == at_start
    if not is_usual: return start_process(command, env=env, cwd=cwd, **more)
    return Forked(command, environment, str(cwd or os.getcwd()))

def use():
    "From now on, notebooks that this process runs have forked kernels."
    at_start.update(fixed(os.environ))
    local_provisioner.launch_kernel = launch_kernel
