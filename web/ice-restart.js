/**
 * The SDP work of an ICE restart over HTTP (RFC 9725, section 4.3.3; fragments: RFC 8840, section 9).
 *
 *   browser                                        server
 *      │ restartIce(), new offer                      │
 *      │── PATCH, fragment: my new ufrag, pwd ───────►│
 *      │◄── 200, fragment: your new ufrag, pwd ───────│
 *      │ answer = old answer with these credentials   │
 *
 * All media share one transport (BUNDLE), so the first section's credentials stand for every section.
 */

/**
 * The fragment that announces the credentials of `offer`.
 * @param {string} offer SDP
 * @returns {string}
 */
export function fragmentOf(offer) {
  const lines = linesOf(offer);
  const first = (/** @type {string} */ prefix) => lines.find((line) => line.startsWith(prefix));
  const kept = [
    first('a=group:BUNDLE'),
    first('a=ice-options:'),
    first('a=ice-ufrag:'),
    first('a=ice-pwd:'),
    first('m='),
    first('a=mid:'),
  ];
  return kept.filter((line) => line !== undefined).join('\r\n') + '\r\n';
}

/**
 * The server's last answer, carrying the credentials and candidates of `fragment` instead of its own.
 * @param {string} answer SDP
 * @param {string} fragment SDP fragment from the server
 * @returns {string}
 */
export function answerWith(answer, fragment) {
  const fresh = linesOf(fragment).filter((line) => /^a=(ice-ufrag|ice-pwd|candidate|end-of-candidates)/.test(line));
  const credentials = fresh.filter((line) => line.startsWith('a=ice-'));
  const candidates = fresh.filter((line) => !line.startsWith('a=ice-'));
  const out = [];
  let section = -1;
  for (const line of linesOf(answer)) {
    if (/^a=ice-(ufrag|pwd):/.test(line)) continue;
    if (candidates.length > 0 && /^a=(candidate:|end-of-candidates)/.test(line)) continue;
    out.push(line);
    if (line.startsWith('m=')) section++;
    // The media-level attributes begin after the section's c= line, which every answer of ours and RFC 8829 has.
    if (line.startsWith('c=') && section >= 0) {
      out.push(...credentials);
      if (section === 0) out.push(...candidates);
    }
  }
  return out.join('\r\n') + '\r\n';
}

/**
 * @param {string} sdp
 */
function linesOf(sdp) {
  return sdp.split(/\r?\n/).filter((line) => line !== '');
}
