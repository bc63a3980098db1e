// ssh2 publishes no types for the parts below its Client. They are pinned to the version in package.json;
// test/connect/ssh2-private.test.ts names every member that is used.

declare module 'ssh2/lib/protocol/Protocol.js' {
  const Protocol: unknown
  export default Protocol
}

declare module 'ssh2/lib/protocol/crypto.js' {
  const crypto: unknown
  export default crypto
}

declare module 'ssh2/lib/protocol/constants.js' {
  const constants: unknown
  export default constants
}

declare module 'ssh2/lib/protocol/utils.js' {
  const utils: unknown
  export default utils
}

declare module 'ssh2/lib/protocol/keyParser.js' {
  const keyParser: unknown
  export default keyParser
}
