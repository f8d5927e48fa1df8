/** What an attacker is asked to do, and what it saw. */
export interface AttackTask {
  readonly relay: string;
  readonly trunk: string;
  /** A token that was seen on the wire, and one of a secret that is no longer in use. */
  readonly seenUfrag: string;
  readonly oldUfrag: string;
  /** Datagrams a second, of all kinds together. */
  readonly rate: number;
  readonly seconds: number;
}

export interface AttackResult {
  /** By kind. */
  readonly sent: Readonly<Record<string, number>>;
  /** Datagrams that came back from the relay to any of the attacker's addresses. */
  readonly answers: number;
}

/** The attacker's addresses begin here: those of honest clients are below 127.ATTACKER_NETWORK. */
export const ATTACKER_NETWORK = 128;
