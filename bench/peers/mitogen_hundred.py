"""The same work as programs/hundred-ramet.ts through Mitogen's library: a whole process, told by one argument of JSON."""
import json
import sys

import mitogen.master
import mitogen_tasks


def main():
    work = json.loads(sys.argv[1])
    broker = mitogen.master.Broker()
    router = mitogen.master.Router(broker)
    try:
        context = router.ssh(
            hostname=work['target']['host'], port=work['target']['port'], username=work['user'], identity_file=work['key'],
            check_host_keys='enforce', compression=False, ssh_args=work['ssh_args'], python_path='/usr/bin/python3')
        if work['loop']:
            sys.stdout.buffer.write(context.call(mitogen_tasks.run_often, work['argv'], work['times']))
        else:
            for _ in range(work['times']):
                sys.stdout.buffer.write(checked(context.call(mitogen_tasks.run_argv, work['argv'])))
        context.shutdown(wait=True)
    finally:
        broker.shutdown()
        broker.join()


def checked(result):
    out, err, code = result
    if code != 0:
        raise ValueError('exit code %r: %r' % (code, err))
    return out


if __name__ == '__main__':
    main()
