import { describe, expect, test } from 'vitest'
import { ownModule, readyPack } from '../../src/controller/stub-image.ts'
import { packTexts, QUICK, unpackTexts } from '../../src/router/code-link.ts'

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8')

describe('what is pushed of our own modules', () => {
  test.each(['exec', 'tcp', 'orphan', 'ssh2', 'openssh', 'spawned'])('is packed ahead for %s, in the order in which it is pushed', (name) => {
    const modules = [...ownModule(name).modules.values()]
    const pack = readyPack(modules.map(({ hash }) => hash).join())
    if (pack === undefined) throw new Error('there is no such pack')
    expect(unpackTexts(pack).map(text)).toEqual(modules.map((module) => module.text))
    expect(pack.length).toBeLessThan(packTexts(modules.map((module) => Buffer.from(module.text)), QUICK).length)
  })

  test.each(['ssh2', 'openssh', 'spawned'])('is packed ahead for %s to a hop that leads on already', (name) => {
    const { entry, modules } = ownModule(name)
    const own = modules.get(entry)
    const pack = readyPack(own?.hash ?? '')
    expect(unpackTexts(pack ?? new Uint8Array()).map(text)).toEqual([own?.text])
  })

  test('is found by its texts alone: other modules have no pack', () => {
    expect(readyPack('0'.repeat(64))).toBeUndefined()
    expect(readyPack('')).toBeUndefined()
  })
})
