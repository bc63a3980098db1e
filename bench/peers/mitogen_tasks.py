"""The functions that Mitogen ships to its targets: a module of their own, as its documentation advises."""
import subprocess


def noop():
    return None


def increment(number):
    return number + 1


def run_shell(command):
    return run_argv(['sh', '-c', command])


def run_argv(argv):
    """Runs a command in a session (so: a process group) and on pipes of its own."""
    child = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    out, err = child.communicate()
    return [out, err, child.returncode]


def run_often(argv, times):
    """What a command printed, so many times, one after the other."""
    return b''.join(subprocess.check_output(argv, stdin=subprocess.DEVNULL) for _ in range(times))
