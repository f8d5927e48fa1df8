/** Writes an opaque tag as a strong entity tag (RFC 9110, section 8.8.3). */
export function formatEntityTag(tag: string): string {
  return `"${tag}"`;
}

/**
 * Reads If-Match (RFC 9110, section 13.1.1): `*` or a list of entity tags. Weak tags never match and are left out.
 * Null when the header is malformed.
 */
export function parseIfMatch(header: string): '*' | string[] | null {
  const text = header.trim();
  if (text === '*') return '*';
  const tags: string[] = [];
  for (const member of text.split(',')) {
    const match = /^\s*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*$/.exec(member);
    if (!match) return null;
    if (!match[1]) tags.push(match[2]);
  }
  return tags;
}
