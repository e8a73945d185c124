// The examples of clients/node/README.md and docs/*.md in TypeScript fit the
// declared types, and do what they show.
//
// A block marked "ts" is a program: it is checked, compiled and run. A block
// marked "text" or "console" after it is what it prints. `using`, which no Node that we want
// to support knows, is compiled away.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { test, before } from 'node:test';
import { promisify } from 'node:util';
import pg from 'pg';

const run = promisify(execFile);
const timeout = 180_000;
const here = import.meta.dirname;

// The programs of a file, with what they print.
function examples(text) {
  const found = [];
  const block = /^```(\w*)\n([^]*?)^```$/gm;
  let last;                           // the program that the next block may show
  for (let match; (match = block.exec(text));) {
    const [, mark, body] = match;
    if (mark === 'ts') {
      last = { body, line: text.slice(0, match.index).split('\n').length };
      found.push(last);
    } else {
      if (last && (mark === 'text' || mark === 'console'))
        last.output = body;
      last = undefined;
    }
  }
  return found;
}

const files = (await readFile(`${here}/examples/files`, 'utf8')).trim().split('\n');
const all = [];
for (const file of files)
  for (const example of examples(await readFile(`${here}/examples/${file}`, 'utf8')))
    all.push({ file, ...example, name: `${file.replace(/\W/g, '_')}_${example.line}` });

before(async () => {
  const client = new pg.Client();
  await client.connect();
  await client.query('CREATE EXTENSION durable_wf');
  await client.end();
  await mkdir(`${here}/examples/out`, { recursive: true });
  for (const { name, body } of all)
    await writeFile(`${here}/examples/${name}.ts`, `${body}\nexport {};\n`);
});

test('they fit the types', { timeout }, async () => {
  assert.ok(all.length > 4);
  await writeFile(`${here}/examples/types.ts`, await readFile(`${here}/types.ts`));
  await writeFile(`${here}/examples/tsconfig.json`, JSON.stringify({
    compilerOptions: {
      strict: true, noUnusedLocals: false, target: 'es2022', module: 'nodenext',
      moduleResolution: 'nodenext', lib: ['es2022', 'esnext.disposable', 'dom', 'dom.iterable'],
      types: ['node'], outDir: 'out', rootDir: '.', skipLibCheck: false,
    },
    include: ['*.ts'],
  }));
  await writeFile(`${here}/examples/package.json`, '{"type": "module"}');
  await run(process.execPath, [`${here}/node_modules/typescript/bin/tsc`, '-p', `${here}/examples`])
    .catch((error) => assert.fail(error.stdout));
});

for (const { file, line, name, output } of all)
  test(`${file}, line ${line}`, { timeout }, async () => {
    const { stdout } = await run(process.execPath, [`${here}/examples/out/${name}.js`]);
    if (output !== undefined)
      assert.equal(stdout, output);
  });

test('types.ts runs, too', { timeout }, async () => {
  await run(process.execPath, [`${here}/examples/out/types.js`]);
});
