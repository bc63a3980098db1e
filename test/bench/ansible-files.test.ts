import { expect, test } from 'vitest'
import { configText, hostsDone, inventoryText, loopPlaybookText, masterOf, playbookText, tasksDone } from '../../bench/peers/ansible-files.ts'

const recap = (line: string): string => `TASK [command] ****\nchanged: [target1]\n\nPLAY RECAP ****\n${line}\n`
const counts = (ok: number, unreachable: number, failed: number): string =>
  `: ok=${ok}    changed=${ok}    unreachable=${unreachable}    failed=${failed}    skipped=0    rescued=0    ignored=0`

test("Ansible's own strategy has a master that persists, Mitogen's has none, and both have the options of all peers", () => {
  const own = configText('/w/a', 'linear', 32, ['-F', '/dev/null', '-o', 'Ciphers=x'])
  expect(own.split('\n')).toEqual(expect.arrayContaining([
    'strategy = linear', 'forks = 32', 'pipelining = True', 'retry_files_enabled = False', 'host_key_checking = True',
    'ssh_args = -F /dev/null -o Ciphers=x -o ControlMaster=auto -o ControlPersist=60s']))
  const mitogen = configText('/w/a', 'mitogen_linear', 1, ['-F', '/dev/null'])
  expect(mitogen.split('\n')).toEqual(expect.arrayContaining(['strategy = mitogen_linear', 'ssh_args = -F /dev/null']))
  expect(mitogen).not.toContain('ControlMaster')
})

test("a master's socket is where the configuration puts it", () => {
  const path = /^control_path = (.*)$/m.exec(configText('/w/a', 'linear', 1, []))?.[1]
  expect(path?.replace('%%h', '127.0.0.3').replace('%%p', '99')).toBe(masterOf('/w/a', { host: '127.0.0.3', port: 99 }))
})

test('an inventory names every host and the interpreter, and has Mitogen not compress', () => {
  const text = inventoryText([{ host: '127.0.0.1', port: 7 }, { host: '127.0.0.2', port: 7 }], 'me')
  expect(text.split('\n').slice(0, 2)).toEqual([
    'target1 ansible_host=127.0.0.1 ansible_port=7 ansible_user=me ansible_python_interpreter=/usr/bin/python3 mitogen_ssh_compression=False',
    expect.stringMatching(/^target2 ansible_host=127\.0\.0\.2 /) as string])
})

test('a play has a task for each run of the command; a loop of the shell is one task, quoted', () => {
  expect(playbookText('hostname', 3).match(/- command: hostname$/gm)).toHaveLength(3)
  expect(loopPlaybookText('i=0; while [ "$i" -lt 3 ]; do :; done')).toContain(String.raw`    - shell: "i=0; while [ \"$i\" -lt 3 ]; do :; done"`)
})

test('only a recap without failures and unreached hosts counts tasks', () => {
  expect(tasksDone(recap(`target1                    ${counts(100, 0, 0)}`))).toBe(100)
  expect(tasksDone(recap(`a  ${counts(2, 0, 0)}\nb  ${counts(3, 0, 0)}`))).toBe(5)
  expect(tasksDone(recap(`a  ${counts(99, 0, 1)}`))).toBeUndefined()
  expect(tasksDone(recap(`a  ${counts(2, 0, 0)}\nb  ${counts(0, 1, 0)}`))).toBeUndefined()
  expect(tasksDone('ERROR! the playbook: x could not be found')).toBeUndefined()
})

test('only hosts on which the command ended well are counted', () => {
  expect(hostsDone('target1 | CHANGED | rc=0 >>\nvm\ntarget2 | FAILED | rc=2 >>\nno\ntarget3 | UNREACHABLE! => {\n}\ntarget10 | CHANGED | rc=0 >>\nvm\n')).toBe(2)
})
