/** Text of somebody else's that may be shown on a terminal: lines stay, any other character that cannot be seen becomes '?'. At most `most` characters. */
export function printable(text: string, most = 1000): string {
  return text.slice(0, most).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => (character === '\n' ? character : '?'))
}

/** The same where one line is to be shown: a name, a reason. */
export function printableLine(text: string, most: number): string {
  return printable(text, most).replace(/\n/g, '?')
}
