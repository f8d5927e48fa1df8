/**
 * Why a call could not start or did not last, in words for the person in front of the page.
 *
 * @typedef {'page-not-secure' | 'browser-too-old' | 'microphone-refused' | 'microphone-missing' | 'microphone-busy'
 *   | 'server-away' | 'unauthorized' | 'server-full' | 'offer-refused' | 'server-error' | 'not-connected'
 *   | 'connection-lost' | 'ended-by-server'} FailureCode
 */

export class CallFailure extends Error {
  /**
   * @param {FailureCode} code
   * @param {string} message one short sentence: what happened
   * @param {string} advice one sentence: what to do about it
   * @param {unknown} [cause]
   */
  constructor(code, message, advice, cause) {
    super(message, { cause });
    this.name = 'CallFailure';
    this.code = code;
    this.advice = advice;
  }
}

/** What the browser lacks for a call, or null when all is there. */
export function missingCapability() {
  if (!globalThis.isSecureContext) {
    return new CallFailure(
      'page-not-secure',
      'This page may not use the microphone.',
      'Browsers allow it only over https, or on localhost and 127.0.0.1. Open the page through one of these.',
    );
  }
  if (!globalThis.RTCPeerConnection || !navigator.mediaDevices?.getUserMedia) {
    return new CallFailure(
      'browser-too-old',
      'This browser cannot make calls.',
      'Use a current Chrome, Edge, Firefox or Safari.',
    );
  }
  return null;
}

/**
 * @param {unknown} error what getUserMedia rejected with
 */
export function microphoneFailure(error) {
  const name = error instanceof DOMException ? error.name : '';
  if (name === 'NotAllowedError' || name === 'SecurityError') {
    return new CallFailure(
      'microphone-refused',
      'The microphone was not allowed.',
      'Allow it for this site (the icon left of the address), then press Talk again.',
      error,
    );
  }
  if (name === 'NotFoundError' || name === 'OverconstrainedError') {
    return new CallFailure(
      'microphone-missing',
      'No microphone was found.',
      'Connect one, or switch it on in the system settings, then press Talk again.',
      error,
    );
  }
  return new CallFailure(
    'microphone-busy',
    'The microphone could not be opened.',
    'Another program may be using it. Close that program, then press Talk again.',
    error,
  );
}

/**
 * @param {unknown} [error] what fetch rejected with
 */
export function serverAway(error) {
  return new CallFailure(
    'server-away',
    'The server cannot be reached.',
    'See that Earshot is running and that your network is up, then press Talk again.',
    error,
  );
}

/**
 * Reads the error body `{ error: { message, param } }` of a response that is not a success.
 * @param {Response} response
 * @param {boolean} keyGiven whether an API key was sent along
 */
export async function refusal(response, keyGiven) {
  const { message, param } = await errorBody(response);
  const said = message ? `The server says: ${message}${param ? ` (${param})` : ''}` : `Status ${response.status}.`;
  switch (response.status) {
    case 401:
    case 403:
      return keyGiven
        ? new CallFailure('unauthorized', 'The server did not accept this API key.', 'Check the key and press Talk again.')
        : new CallFailure('unauthorized', 'This server asks for an API key.', 'Enter the key below and press Talk again.');
    case 503: {
      const wait = Number(response.headers.get('Retry-After'));
      const when = wait > 0 ? `in ${wait === 1 ? 'a second' : `${wait} seconds`}` : 'in a moment';
      return new CallFailure('server-full', 'The server has no room for another call.', `Press Talk again ${when}.`);
    }
    case 400:
    case 415:
    case 422:
      return new CallFailure('offer-refused', "The server cannot take this browser's call.", said);
    default:
      return new CallFailure('server-error', 'The server could not take the call.', said);
  }
}

/**
 * @param {Response} response
 * @returns {Promise<{ message?: string, param?: string | null }>}
 */
async function errorBody(response) {
  try {
    return (await response.json()).error ?? {};
  } catch {
    return {};
  }
}

export function notConnected() {
  return new CallFailure(
    'not-connected',
    'The server answered, but no connection came up.',
    'A firewall may block UDP between you and the server. Try another network.',
  );
}

export function connectionLost() {
  return new CallFailure(
    'connection-lost',
    'The call was lost.',
    'The connection went away and could not be restored. Press Talk to call again.',
  );
}

export function endedByServer() {
  return new CallFailure('ended-by-server', 'The other side ended the call.', 'Press Talk to call again.');
}
