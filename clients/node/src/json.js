// What JSON is to JavaScript here.
//
//   JavaScript             SQL                       and back
//   undefined              NULL: JSON null where     undefined where nothing
//                          a value must be           came, else null
//   null                   JSON null                 null
//   Date, toJSON()         what JSON.stringify says  string
//   NaN, Infinity          JSON null                 null
//   bigint, function       TypeError, at once        -
//
// What a step returns goes through the server's jsonb in the first run as well,
// so that a replay gets the very same, the order of keys included.

/** The text of a value; null, which is SQL NULL, for undefined. */
export function toJson(value) {
  if (value === undefined)
    return null;
  const text = JSON.stringify(value);
  if (text === undefined)
    throw new TypeError(`a ${typeof value} is no JSON`);
  return text;
}

/** The value of a text; undefined for SQL NULL. */
export function fromJson(text) {
  return text === null || text === undefined ? undefined : JSON.parse(text);
}

// node-postgres shall not parse: JSON null and SQL NULL would look alike.
export const asText = { getTypeParser: () => (text) => text };
