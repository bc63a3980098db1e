import { rename, rm, writeFile } from 'node:fs/promises'

/** Writes a file so that who reads it meanwhile gets the old text or the new one, never a part: test runs may overlap. */
export async function writeWhole(file, bytes) {
  const part = `${file}.${process.pid}.part`
  try {
    await writeFile(part, bytes)
    await rename(part, file)
  } finally {
    await rm(part, { force: true })
  }
}
