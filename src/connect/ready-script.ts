/**
 * What a ReadyProcess's program runs by `/bin/sh -c`: it prints the line of which no argument holds the whole (its halves are $1
 * and $2; its process id follows), then comes `prepare`, then the command ($3), under the same id, in a process group of its own. The
 * programs differ in whether they make one, and a stub takes its group along when it ends.
 */
export function readyScript(prepare: readonly string[] = []): string {
  return [
    'echo "$1$2 $$"',
    ...prepare,
    // Field 5 is the process group. setsid forks, and does not wait, only where the group is ours already.
    '[ -r /proc/$$/stat ] && read -r r_1 r_2 r_3 r_4 r_g r_n </proc/$$/stat && [ "$r_g" != $$ ] && command -v setsid >/dev/null 2>&1 && exec setsid /bin/sh -c "$3"',
    'exec /bin/sh -c "$3"',
  ].join('; ')
}
