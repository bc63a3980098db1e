import type { Reporter, TestCase, TestModule, TestRunEndReason } from 'vitest/node'

/**
 * Says at the end of a run, on the screen, which tests were left out and why: a skipped test must never look like a passed one.
 * In CI nothing may be left out: there a skipped test fails the run. The last line is for programs that read the outcome.
 */
export default class LeftOut implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>, errors: ReadonlyArray<unknown>, reason: TestRunEndReason): void {
    const tests = modules.flatMap(module => [...module.children.allTests()])
    const skipped = tests.filter(test => test.result().state === 'skipped')
    const passed = tests.filter(test => test.result().state === 'passed').length
    // A file that could not be loaded has no tests: it counts as one that failed.
    const unloaded = modules.filter(module => module.state() === 'failed' && module.children.size === 0).length
    const failed = tests.filter(test => test.result().state === 'failed').length + unloaded + errors.length

    if (skipped.length > 0) {
      console.log('\nLeft out:')
      for (const line of describe(skipped)) console.log(`  ${line}`)
      if (process.env['CI'] && reason === 'passed') {
        console.log('In CI nothing may be left out: the run has failed.')
        process.exitCode = 1
      }
    }
    console.log(`\n${passed} passed, ${failed} failed, ${skipped.length} skipped`)
  }
}

/** One line for each suite of skipped tests, with the reason that the suite's name or the skip itself gives. */
function describe(skipped: TestCase[]): string[] {
  const groups = new Map<string, { count: number; reasons: Set<string> }>()
  for (const test of skipped) {
    const suite = test.parent.type === 'suite' ? ` > ${test.parent.fullName}` : ''
    const key = `${test.module.relativeModuleId}${suite}`
    const group = groups.get(key) ?? { count: 0, reasons: new Set() }
    group.count++
    const result = test.result()
    if (result.state === 'skipped' && result.note) group.reasons.add(result.note)
    groups.set(key, group)
  }
  return [...groups].map(([key, { count, reasons }]) => {
    const why = reasons.size > 0 ? `: ${[...reasons].join('; ')}` : ''
    return `${count} ${count === 1 ? 'test' : 'tests'} of ${key}${why}`
  })
}
