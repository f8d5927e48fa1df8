/**
 * The share of arrivals that find all servers busy: Erlang's loss formula (M/G/c/c), in the recursion that neither
 * overflows nor rounds away. Holds for any distribution of holding times.
 * @param load mean number of calls that would be in progress with room for all: arrivals per second × mean seconds
 */
export function erlangB(load: number, servers: number): number {
  let inverse = 1;
  for (let n = 1; n <= servers; n++) inverse = 1 + (n / load) * inverse;
  return 1 / inverse;
}

/** The fewest servers with which no larger share than `blocking` is turned away. */
export function serversFor(load: number, blocking: number): number {
  let inverse = 1;
  let servers = 0;
  while (1 / inverse > blocking) {
    servers++;
    inverse = 1 + (servers / load) * inverse;
  }
  return servers;
}
