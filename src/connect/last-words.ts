/** The last lines that a program printed, on one line, without what could upset a terminal. At most 600 characters. */
export function lastWords(text: string): string {
  const lines = text.split(/[\r\n]+/).map((line) => line.replace(/[\p{Cc}\p{Cf}\ufffd]/gu, '?').trim()).filter((line) => line !== '')
  return lines.slice(-3).join(' / ').slice(-600)
}
