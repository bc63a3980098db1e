"""The functions that Mitogen ships to its targets: a module of their own, as its documentation advises."""
import subprocess


def noop():
    return None


def increment(number):
    return number + 1


def run_shell(command):
    """Runs a line of shell in a session (so: a process group) and on pipes of its own."""
    child = subprocess.Popen(
        ['sh', '-c', command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True)
    out, err = child.communicate()
    return [out, err, child.returncode]
