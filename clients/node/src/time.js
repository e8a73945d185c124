// Durations: a number is milliseconds, a string is as in PostgreSQL ('10 min',
// '1 day 2 h'), undefined is the default of the call, null or Infinity is for
// ever.

const units = {
  ms: 1, msec: 1, msecs: 1, millisecond: 1, milliseconds: 1,
  s: 1e3, sec: 1e3, secs: 1e3, second: 1e3, seconds: 1e3,
  m: 6e4, min: 6e4, mins: 6e4, minute: 6e4, minutes: 6e4,
  h: 36e5, hr: 36e5, hrs: 36e5, hour: 36e5, hours: 36e5,
  d: 864e5, day: 864e5, days: 864e5, w: 6048e5, week: 6048e5, weeks: 6048e5,
};

/** Milliseconds; Infinity for ever. */
export function toMs(duration, byDefault) {
  const given = duration === undefined ? byDefault : duration;
  if (given === null || given === Infinity)
    return Infinity;
  if (typeof given === 'number') {
    if (!(given >= 0))
      throw new RangeError(`not a duration: ${given}`);
    return given;
  }
  const text = String(given).trim().toLowerCase();
  const clock = /^(\d+):(\d\d)(?::(\d\d(?:\.\d+)?))?$/.exec(text);
  if (clock)
    return clock[1] * 36e5 + clock[2] * 6e4 + (clock[3] ?? 0) * 1e3;
  if (/^\d+(\.\d+)?$/.test(text))
    return text * 1e3;
  let ms = 0, rest = text;
  while (rest) {
    const part = /^(\d+(?:\.\d+)?)\s*([a-z]+)\s*/.exec(rest);
    if (!part || !(part[2] in units))
      throw new RangeError(`not a duration: ${given}`);
    ms += part[1] * units[part[2]];
    rest = rest.slice(part[0].length);
  }
  if (!text)
    throw new RangeError('a duration is empty');
  return ms;
}

/** The text of an interval; null for ever. */
export function toInterval(duration, byDefault) {
  const ms = toMs(duration, byDefault);
  return ms === Infinity ? null : `${ms} ms`;
}

/** Call back when a time is over, however long; returns how not to. */
export function after(ms, callback) {
  const until = Date.now() + ms;
  let timer;
  if (ms === Infinity)
    return () => {};
  const arm = () => {
    const left = until - Date.now();
    timer = left > 2 ** 30 ? setTimeout(arm, 2 ** 30) : setTimeout(callback, Math.max(left, 0));
  };
  arm();
  return () => clearTimeout(timer);
}

/** Sleep in this process; ends early when the signal aborts. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted)
      return resolve();
    const end = () => {
      cancel();
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const cancel = after(ms, end);
    signal?.addEventListener('abort', end);
  });
}

/** The pause before the n-th attempt to connect, with some chance in it. */
export function reconnectDelay(n) {
  return Math.min(5000, 50 * 2 ** n) * (0.5 + Math.random() / 2);
}

/** A moment as PostgreSQL writes it in ISO style. */
export function toDate(text) {
  const iso = text.replace(' ', 'T').replace(/([+-]\d\d)$/, '$1:00');
  return new Date(iso);
}
