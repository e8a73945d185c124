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
// What a step returns is as the server's jsonb gives it back in the first run as
// well, so that a replay gets the very same, the order of keys included.

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

// ----- jsonb, without asking the server

const lengthMax = 64 * 1024;

/**
 * Can jsonb hold this for sure?  It has neither the character 0 nor half of a
 * surrogate pair; what is large or deep is left to the server to say.
 */
export function fitsJsonb(text) {
  return text.length <= lengthMax && !/\\u(?:0000|d[89a-f])/i.test(text) && depthOf(text) <= 100;
}

// How deep brackets are nested, at most; those in strings count, too.
function depthOf(text) {
  let depth = 0, max = 0;
  for (let n = 0; n < text.length; n++) {
    const c = text.charCodeAt(n);
    if (c === 0x5b || c === 0x7b)
      max = Math.max(max, ++depth);
    else if (c === 0x5d || c === 0x7d)
      depth--;
  }
  return max;
}

// The order of keys in jsonb: by their length in bytes, then by their bytes.
function compareKeys(a, b) {
  const x = Buffer.from(a), y = Buffer.from(b);
  return x.length - y.length || Buffer.compare(x, y);
}

function inOrder(value) {
  if (typeof value !== 'object' || value === null)
    return value;
  if (Array.isArray(value))
    return value.map(inOrder);
  return Object.fromEntries(Object.keys(value).sort(compareKeys)
    .map((key) => [key, inOrder(value[key])]));
}

/** The value of a text as it is read back from jsonb. */
export function fromJsonb(text) {
  return text === null || text === undefined ? undefined : inOrder(JSON.parse(text));
}
