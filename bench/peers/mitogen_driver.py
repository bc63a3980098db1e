"""
Mitogen 0.3.3 as a driver: reads one JSON request per line, does it, answers with one JSON line. Times are taken here.
Targets are {"host", "port"}; connections are kept under a name until "close".
"""
import collections
import concurrent.futures
import gc
import importlib
import json
import os
import sys
import time

import mitogen
import mitogen.master
import mitogen.utils

import mitogen_tasks


class Peer(object):
    def __init__(self, settings):
        self.settings = settings
        self.broker = mitogen.master.Broker()
        self.router = mitogen.master.Router(self.broker)
        self.contexts = {}
        self.before = 0

    def connect(self, target, via=None):
        return self.router.ssh(
            via=via, hostname=target['host'], port=target['port'], username=self.settings['user'],
            identity_file=self.settings['key'], check_host_keys='enforce', compression=False,
            ssh_args=self.settings['ssh_args'], python_path='/usr/bin/python3')

    def via(self, request):
        return self.contexts[request['via']] if 'via' in request else None

    def connect_first(self, request):
        took, context = self.timed(request['target'])
        context.shutdown(wait=True)
        return took

    def timed(self, target, via=None):
        begun = time.perf_counter()
        context = self.connect(target, via)
        checked(context.call(mitogen_tasks.increment, 41), 42)
        return (time.perf_counter() - begun) * 1e3, context

    def behind(self, request):
        """The times of the first and the second target behind a hop that has just been connected and called."""
        _, hop = self.timed(request['hop'])
        done = [self.timed(target, hop) for target in request['targets']]
        for _, context in done:
            context.shutdown(wait=True)
        hop.shutdown(wait=True)
        return [took for took, _ in done]

    def through(self, request):
        """From nothing to the first answer of what is behind so many hops, none of which is connected yet."""
        opened, begun = [], time.perf_counter()
        for target in request['chain']:
            opened.append(self.connect(target, opened[-1] if opened else None))
        checked(opened[-1].call(mitogen_tasks.increment, 41), 42)
        took = (time.perf_counter() - begun) * 1e3
        for context in reversed(opened):
            context.shutdown(wait=True)
        return took

    def open(self, request):
        context = self.connect(request['target'], self.via(request))
        checked(context.call(mitogen_tasks.increment, 41), 42)
        self.contexts[request['name']] = context

    def shut(self, request):
        self.contexts.pop(request['name']).shutdown(wait=True)

    def warm(self, request):
        call, clock, noop = self.contexts[request['name']].call, time.perf_counter, mitogen_tasks.noop
        times = []
        for _ in range(request['calls']):
            begun = clock()
            call(noop)
            times.append((clock() - begun) * 1e6)
        return times

    def pipelined(self, request):
        call, increment = self.contexts[request['name']].call_async, mitogen_tasks.increment
        window, waiting = request['window'], collections.deque()
        begun = time.perf_counter()
        for number in range(request['calls']):
            if len(waiting) == window:
                expected, receiver = waiting.popleft()
                checked(receiver.get().unpickle(), expected)
            waiting.append((number + 1, call(increment, number)))
        while waiting:
            expected, receiver = waiting.popleft()
            checked(receiver.get().unpickle(), expected)
        return request['calls'] / (time.perf_counter() - begun)

    def exec(self, request):
        call, times = self.contexts[request['name']].call, []
        for _ in range(request['calls']):
            begun = time.perf_counter()
            out, _, code = call(mitogen_tasks.run_shell, request['command'])
            times.append((time.perf_counter() - begun) * 1e6)
            checked((code, bool(out)), (0, True))
            if request['gap']:
                time.sleep(request['gap'] / 1e3)
        return times

    def new_code(self, request):
        """The first call of a module that the target has never seen; reading it from disk is not counted."""
        module = importlib.import_module(request['module'])
        begun = time.perf_counter()
        checked(self.contexts[request['name']].call(module.answer), request['expected'])
        return (time.perf_counter() - begun) * 1e3

    def fleet(self, request):
        via = self.via(request)

        def one(target):
            context = self.connect(target, via)
            checked(context.call(mitogen_tasks.increment, 41), 42)
            return context
        self.before = len(children())
        begun = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(request['width']) as pool:
            contexts = list(pool.map(one, request['targets']))
        took = (time.perf_counter() - begun) * 1e3
        self.contexts['fleet'] = contexts
        return took

    def scatter(self, _request):
        for context in self.contexts.pop('fleet'):
            # What is behind a hop is no child of ours that could be counted.
            context.shutdown(wait=context.via is not None)
        # Only when ssh and the remote Python are gone may the next round begin.
        deadline = time.monotonic() + 20
        while len(children()) > self.before and time.monotonic() < deadline:
            time.sleep(0.02)

    def settle(self, _request):
        gc.collect()

    def version(self, _request):
        return '.'.join(str(part) for part in mitogen.__version__)


def children():
    pids = []
    for task in os.listdir('/proc/self/task'):
        try:
            with open('/proc/self/task/%s/children' % task) as listing:
                pids += listing.read().split()
        except FileNotFoundError:
            pass  # The thread has ended meanwhile.
    return pids


def checked(got, expected):
    if got != expected:
        raise ValueError('expected %r, got %r' % (expected, got))


def main():
    settings = json.loads(sys.argv[1])
    sys.path.insert(0, settings['modules'])
    peer = Peer(settings)
    try:
        for line in iter(sys.stdin.readline, ''):
            request = json.loads(line)
            try:
                answer = {'value': getattr(peer, request['op'])(request)}
            except Exception as error:
                answer = {'error': '%s: %s' % (type(error).__name__, error)}
            sys.stdout.write(json.dumps(answer) + '\n')
            sys.stdout.flush()
    finally:
        peer.broker.shutdown()
        peer.broker.join()


if __name__ == '__main__':
    main()
