import { AddressTable } from '../net/address-table.ts';
import { LOCATOR_BYTES } from '../wire/locator.ts';
import { UFRAG_LENGTH } from '../wire/routing-token.ts';

/** A flow's place in the order of use is right to within this: it need not move with every packet. */
const TOUCH_GRAIN_MS = 100;

/**
 * Client address → transceiver, in fixed-size records: about 100 bytes per flow, nothing allocated per packet.
 *
 * A flow has two targets. Where its packets go, and where its token leads: usually the same. They differ while
 * somebody sends (or replays) STUN with a valid token of another call under this client's address. STUN then goes
 * where its token says; everything else stays, until a transceiver vouches for the client on the way back.
 */
export class FlowTable {
  readonly capacity: number;
  /** Where a flow's packets go: six bytes (IPv4 address, port; or a cluster, see cluster-paths.ts) at `LOCATOR_BYTES × flow`. */
  readonly targets: Uint8Array;
  /** Where the token that a flow last showed leads, alike. */
  readonly tokenTargets: Uint8Array;

  readonly #table: AddressTable;
  readonly #tokens: Uint8Array;
  readonly #tokenClusters: Uint16Array;
  readonly #marks: Uint8Array;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#table = new AddressTable({ capacity, grain: TOUCH_GRAIN_MS, onRemove: (flow) => this.#marks.fill(0, flow, flow + 1) });
    this.targets = new Uint8Array(capacity * LOCATOR_BYTES);
    this.tokenTargets = new Uint8Array(capacity * LOCATOR_BYTES);
    this.#tokens = new Uint8Array(capacity * UFRAG_LENGTH);
    this.#tokenClusters = new Uint16Array(capacity);
    this.#marks = new Uint8Array(capacity);
  }

  get size(): number {
    return this.#table.size;
  }

  get evictions(): number {
    return this.#table.evictions;
  }

  /** Whether the last `obtain` made a new flow. */
  get inserted(): boolean {
    return this.#table.inserted;
  }

  find(ip: Uint8Array, offset: number, family: 4 | 6, port: number): number {
    return this.#table.find(ip, offset, family, port);
  }

  obtain(ip: Uint8Array, offset: number, family: 4 | 6, port: number, now: number): number {
    return this.#table.obtain(ip, offset, family, port, now);
  }

  touch(flow: number, now: number): void {
    this.#table.touch(flow, now);
  }

  /** Forgets flows idle since before `before`, a bounded number at a time; returns how many. */
  expire(before: number): number {
    return this.#table.expire(before, 8192);
  }

  /** Calls `visit` with every flow, the most recently used first. */
  forEach(visit: (flow: number) => void): void {
    for (let flow = this.#table.newest; flow >= 0; flow = this.#table.olderThan(flow)) visit(flow);
  }

  /** Whether slot `flow` holds one that a packet has passed since `since`. */
  isAliveSince(flow: number, since: number): boolean {
    return this.#table.lastSeen[flow] >= since;
  }

  /** Writes the client's address, 16 bytes, as {@link AddressTable.readAddress}; returns its port. */
  readClient(flow: number, into: Uint8Array, offset: number): number {
    return this.#table.readAddress(flow, into, offset);
  }

  /** Whether a transceiver has vouched for the flow. */
  isVerified(flow: number): boolean {
    return (this.#marks[flow] & MARK_VERIFIED) !== 0;
  }

  setTarget(flow: number, endpoint: Uint8Array, offset: number, verified: boolean): void {
    for (let i = 0; i < LOCATOR_BYTES; i++) this.targets[flow * LOCATOR_BYTES + i] = endpoint[offset + i];
    if (verified) this.#marks[flow] |= MARK_VERIFIED;
  }

  /** Whether the flow's packets go to this target of six bytes. */
  goesTo(flow: number, target: Uint8Array): boolean {
    const at = flow * LOCATOR_BYTES;
    for (let i = 0; i < LOCATOR_BYTES; i++) if (this.targets[at + i] !== target[i]) return false;
    return true;
  }

  /** The cluster of the token that the flow showed last; -1 for none. */
  tokenCluster(flow: number): number {
    return (this.#marks[flow] & MARK_TOKEN) === 0 ? -1 : this.#tokenClusters[flow];
  }

  /** Whether the token that the flow showed last is that of an unbound ticket. */
  hasTicket(flow: number): boolean {
    return (this.#marks[flow] & MARK_TICKET) !== 0;
  }

  /** Whether the flow leads where a transceiver has said, which handed its ticket back. */
  isReferred(flow: number): boolean {
    return (this.#marks[flow] & MARK_REFERRED) !== 0;
  }

  setReferred(flow: number, referred: boolean): void {
    if (referred) this.#marks[flow] |= MARK_REFERRED;
    else this.#marks[flow] &= ~MARK_REFERRED;
  }

  /** Remembers a token that has been checked, the beginning of a ticket or not, and where it leads. */
  setToken(flow: number, ufrag: Uint8Array, ufragOffset: number, target: Uint8Array, targetOffset: number, cluster: number, isTicket: boolean): void {
    for (let i = 0; i < UFRAG_LENGTH; i++) this.#tokens[flow * UFRAG_LENGTH + i] = ufrag[ufragOffset + i];
    for (let i = 0; i < LOCATOR_BYTES; i++) this.tokenTargets[flow * LOCATOR_BYTES + i] = target[targetOffset + i];
    this.#tokenClusters[flow] = cluster;
    this.#marks[flow] = (this.#marks[flow] & ~MARK_TICKET) | MARK_TOKEN | (isTicket ? MARK_TICKET : 0);
  }

  /** Whether this is the token that the flow showed last; of a ticket its beginning alone is compared. */
  hasToken(flow: number, ufrag: Uint8Array, offset: number, length: number): boolean {
    const marks = length > UFRAG_LENGTH ? MARK_TOKEN | MARK_TICKET : MARK_TOKEN;
    if (length < UFRAG_LENGTH || (this.#marks[flow] & (MARK_TOKEN | MARK_TICKET)) !== marks) return false;
    const at = flow * UFRAG_LENGTH;
    for (let i = 0; i < UFRAG_LENGTH; i++) if (this.#tokens[at + i] !== ufrag[offset + i]) return false;
    return true;
  }

  /** Forgets the flow. */
  remove(flow: number): void {
    this.#table.remove(flow);
  }
}

const MARK_TOKEN = 1;
const MARK_VERIFIED = 2;
const MARK_TICKET = 4;
const MARK_REFERRED = 8;
