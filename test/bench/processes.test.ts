import { afterEach, expect, test, vi } from 'vitest'
import { freePort, ServerProcess } from '../../bench/processes.ts'

afterEach(() => void vi.unstubAllEnvs())

test('a server whose program is missing is an error that names it, also where nothing ties servers to the bench', async () => {
  const port = await freePort()
  // Without setpriv, too, which would say it in the program's stead.
  vi.stubEnv('PATH', '/nowhere')
  await expect(ServerProcess.start(['taskset', '-c', '0', 'sshd'], port)).rejects.toThrow(`taskset did not start listening on port ${port}: spawn taskset ENOENT`)
})
