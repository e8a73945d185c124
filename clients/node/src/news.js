// News as an async iterator: what `listen` gives.

/** An iterator that is fed by push() and ends with return() or fail(). */
export class News {
  #queue = [];
  #waiting = [];
  #over = false;
  #error;
  #end;

  /** `ready` resolves when listening is in force: look then, not before. */
  constructor(ready, end) {
    this.#end = end;
    this.ready = ready;
    ready.catch((error) => this.fail(error));
  }

  push(news) {
    if (this.#over)
      return;
    const waiting = this.#waiting.shift();
    if (waiting)
      waiting.resolve({ value: news, done: false });
    else
      this.#queue.push(news);
  }

  fail(error) {
    this.#error = error;
    this.#finish();
  }

  #finish() {
    if (this.#over)
      return;
    this.#over = true;
    this.#end();
    for (const { resolve, reject } of this.#waiting.splice(0))
      this.#error ? reject(this.#error) : resolve({ value: undefined, done: true });
  }

  next() {
    if (this.#queue.length > 0)
      return Promise.resolve({ value: this.#queue.shift(), done: false });
    if (this.#over)
      return this.#error ? Promise.reject(this.#error) :
        Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  async return() {
    this.#queue.length = 0;
    this.#finish();
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}
