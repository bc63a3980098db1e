import { extname } from 'node:path'
import { RametError } from '../router/errors.ts'
import { guardedRequires } from './syntax.ts'

/**
 * Takes native addons out of a graph: they are built for one machine and loaded from a file. What cannot do without one is
 * as absent as the addon, up to an importer that is prepared for it (`try { require(…) } catch`), where the import is
 * deleted from `inputs`. Throws module-failed when that reaches the entry.
 */
export function leaveOutAddons(entry: string, inputs: ReadonlyMap<string, Map<string, string>>, textOf: (file: string) => string): void {
  const absent = [...inputs.keys()].filter((file) => extname(file) === '.node').map((addon) => ({ file: addon, addon, needs: addon }))
  if (absent.length === 0) return
  const importers = new Map<string, Set<string>>()
  for (const [file, imports] of inputs) {
    for (const to of imports.values()) importers.set(to, (importers.get(to) ?? new Set()).add(file))
  }
  const seen = new Set<string>()
  for (const { file, addon, needs } of absent) {
    if (file === entry) throw refusal(needs, addon)
    for (const importer of importers.get(file) ?? []) {
      const imports = inputs.get(importer)
      const prepared = guardedRequires(textOf(importer))
      const specifiers = [...imports ?? []].filter(([, to]) => to === file).map(([specifier]) => specifier)
      for (const specifier of specifiers) if (prepared.has(specifier)) imports?.delete(specifier)
      if (specifiers.every((specifier) => prepared.has(specifier)) || seen.has(importer)) continue
      seen.add(importer)
      // The list grows while it is walked.
      absent.push({ file: importer, addon, needs: file === addon ? importer : needs })
    }
  }
}

function refusal(needs: string, addon: string): RametError {
  return new RametError('module-failed', needs === addon ? `${addon} is a native addon, which cannot be sent` : `${needs} needs the native addon ${addon}, which cannot be sent`, {
    outcome: 'not-sent', hint: 'Native addons are built for one machine: use a package of plain JavaScript or wasm for this on targets.',
  })
}
