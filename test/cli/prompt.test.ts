import { describe, expect, it } from 'vitest'
import { deferred } from '../../src/base/deferred.ts'
import { readHidden } from '../../src/cli/hidden-input.ts'
import type { Terminal } from '../../src/cli/hidden-input.ts'
import { Prompter } from '../../src/cli/prompter.ts'
import { FakeDesk, settle } from './fake-desk.ts'

class FakeTerminal implements Terminal {
  shown = ''
  closed = 0
  type: (text: string) => void = () => {}

  onText(listener: (text: string) => void): void {
    this.type = listener
  }

  write(text: string): void {
    this.shown += text
  }

  close(): void {
    this.closed++
  }
}

describe('readHidden', () => {
  function start(): { terminal: FakeTerminal; stop: AbortController; interrupts: () => number; answer: Promise<string> } {
    const terminal = new FakeTerminal()
    const stop = new AbortController()
    let count = 0
    const answer = readHidden(terminal, 'Password: ', stop.signal, () => count++)
    return { terminal, stop, interrupts: () => count, answer }
  }

  it('shows the question and nothing of the answer', async () => {
    const { terminal, answer } = start()
    for (const typed of ['hu', 'x\u007f', 'n\u{1f511}', '\u007f', 'ter2\r', 'rest']) terminal.type(typed)
    expect(await answer).toBe('hunter2')
    expect(terminal).toMatchObject({ shown: 'Password: \n', closed: 1 })
  })

  it('forgets the line on ^U, and takes an empty answer', async () => {
    const { terminal, answer } = start()
    terminal.type('wrong\u0015\n')
    expect(await answer).toBe('')
  })

  it('makes an interrupt of ^C, and gives the terminal back', async () => {
    const { terminal, interrupts, answer } = start()
    terminal.type('ab\u0003')
    await expect(answer).rejects.toMatchObject({ code: 'cancelled', outcome: 'not-sent', hint: expect.stringMatching(/\w+ \w+/) as string })
    expect(interrupts()).toBe(1)
    expect(terminal.closed).toBe(1)
  })

  it('ends with the run that asked', async () => {
    const { terminal, stop, answer } = start()
    stop.abort()
    await expect(answer).rejects.toMatchObject({ code: 'cancelled' })
    expect(terminal.closed).toBe(1)
  })

  it('ends on ^D in an empty line', async () => {
    const { terminal, answer } = start()
    terminal.type('\u0004')
    await expect(answer).rejects.toMatchObject({ code: 'cancelled' })
  })
})

describe('Prompter', () => {
  function recorder(answers: string[]): { asked: string[]; prompter: Prompter } {
    const asked: string[] = []
    return { asked, prompter: new Prompter(async (text) => (asked.push(text), answers.shift()!)) }
  }

  it('asks once per account, however many targets want it', async () => {
    const { asked, prompter } = recorder(['one', 'two'])
    const answers = await Promise.all(['ann@a', 'ann@b', 'bob@a'].map((name) => prompter.prompt({ kind: 'password', path: [name], text: `${name}'s password: ` })))
    expect(answers).toEqual(['one', 'one', 'two'])
    expect(asked).toEqual(["ann@a's password: ", "bob@a's password: "])
  })

  it('asks again when a target refuses the answer, and gives the new one to the others', async () => {
    const { asked, prompter } = recorder(['wrong', 'right'])
    const ask = (name: string): Promise<string> => prompter.prompt({ kind: 'password', path: [name], text: 'p' })
    expect(await ask('ann@a')).toBe('wrong')
    expect(await ask('ann@b')).toBe('wrong')
    expect(await ask('ann@a')).toBe('right')
    expect(await ask('ann@b')).toBe('right')
    expect(asked).toHaveLength(2)
  })

  it('never remembers a code that holds once', async () => {
    const { asked, prompter } = recorder(['123', '456'])
    const request = { kind: 'interactive', path: ['ann@a'], text: 'Code:\u001b[2J' } as const
    expect([await prompter.prompt({ ...request, path: ['ann@a'] }), await prompter.prompt({ ...request, path: ['ann@b'] })]).toEqual(['123', '456'])
    expect(asked).toEqual(['Code:\\x1b[2J', 'Code:\\x1b[2J'])
  })

  it('has one question open at a time, and goes on after one that was not answered', async () => {
    const first = deferred<string>()
    const asked: string[] = []
    const prompter = new Prompter((text) => (asked.push(text), asked.length === 1 ? first.promise : Promise.resolve('ok')))
    const one = prompter.prompt({ kind: 'password', path: ['ann@a'], text: 'A' })
    const two = prompter.prompt({ kind: 'password', path: ['bob@a'], text: 'B' })
    await settle()
    expect(asked).toEqual(['A'])
    first.reject(new Error('no'))
    await expect(one).rejects.toThrow('no')
    expect(await two).toBe('ok')
  })
})

describe('Prompter for several connections', () => {
  it('asks once for all of them, and again when one of them refuses the answer', async () => {
    const asked: string[] = []
    const prompter = new Prompter(async (text) => (asked.push(text), `answer ${asked.length}`))
    const connect = (prompt = prompter.anew()): Promise<string> => prompt({ kind: 'passphrase', path: ['a'], text: 'Passphrase for k: ' })
    expect([await connect(), await connect(), await connect()]).toEqual(['answer 1', 'answer 1', 'answer 1'])
    const once = prompter.anew()
    expect([await connect(once), await connect(once), await connect()]).toEqual(['answer 1', 'answer 2', 'answer 2'])
    expect(asked).toHaveLength(2)
  })
})

describe('--ask-password', () => {
  it('asks once and hands the answer to every target', async () => {
    const desk = new FakeDesk()
    const asked: string[] = []
    desk.askHidden = async (text) => (asked.push(text), 'hunter2')
    expect(await desk.run('run', 'x', '-t', 'a,b', '--ask-password')).toBe(0)
    expect(asked).toEqual(['Password: '])
    expect(desk.tree.connects.map(({ options }) => options.password)).toEqual(['hunter2', 'hunter2'])
    expect(desk.stdout.text + desk.stderr.text).not.toContain('hunter2')
  })

  it('offers the engine a prompt only where somebody is there to answer', async () => {
    const desk = new FakeDesk()
    await desk.run('run', 'x', '-t', 'a')
    expect(desk.opened[0]?.prompt).toBeUndefined()
    desk.askHidden = async () => 'answer'
    await desk.run('run', 'x', '-t', 'a')
    expect(await desk.opened[1]?.prompt?.({ kind: 'passphrase', path: ['a'], text: 'k: ' })).toBe('answer')
  })
})
