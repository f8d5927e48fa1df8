/**
 * The agents of the server, the default first; none where it does not say (an older server, or one that wants a key).
 * @param {string} apiKey may be empty
 * @returns {Promise<string[]>} never rejects: the page works without a choice
 */
export async function listAgents(apiKey) {
  try {
    const response = await fetch('/v1/models', { headers: apiKey ? { Authorization: `Bearer ${apiKey}` } : {} });
    if (!response.ok) return [];
    /** @type {{ data?: { id?: unknown }[] }} */
    const { data } = await response.json();
    return Array.isArray(data) ? data.flatMap(({ id }) => (typeof id === 'string' ? [id] : [])) : [];
  } catch {
    return [];
  }
}
