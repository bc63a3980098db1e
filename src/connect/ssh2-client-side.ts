/** What a controller needs for logging in by ssh2: one import(), because a file more costs a program as short as `ramet run` half a millisecond. */
export { connectSsh2 } from './ssh2.ts'
export { loginKeys } from './ssh2-identities.ts'
