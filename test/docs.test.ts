/**
 * The documents against the code: every command exists, the README's commands and examples run and print what it says, tables match what a
 * run writes, generated parts are current, links and paths lead somewhere.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Command } from 'commander';
import ts from 'typescript';
import { afterAll, describe, expect, it } from 'vitest';
import { DOCUMENTS, rendered } from '../scripts/docs.mjs';
import { diffCommand } from '../src/cli/diff.js';
import { evalCommand } from '../src/cli/eval.js';
import { withDashes } from '../src/cli/flag-names.js';
import { generateCommand } from '../src/cli/generate.js';
import { inspectCommand } from '../src/cli/inspect.js';
import { serveCommand } from '../src/cli/serve.js';
import { studyCommand } from '../src/cli/study.js';
import { trainCommand } from '../src/cli/train.js';
import { verifyCommand } from '../src/cli/verify.js';
import { MOBY } from './helpers/training.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const PACKAGE = JSON.parse(read('package.json')) as {
  scripts: Record<string, string>;
  exports: Record<string, { types: string; default: string }>;
};
const DOCS = readdirSync(join(ROOT, 'docs'))
  .filter((name) => name.endsWith('.md'))
  .map((name) => `docs/${name}`);
const GUIDES = ['README.md', 'CONTRIBUTING.md', ...DOCS];
const ALL = [...GUIDES, 'CHANGELOG.md', 'test/vectors/README.md'];

const folder = mkdtempSync(join(tmpdir(), 'octavo-docs-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const node = (...args: string[]): string =>
  execFileSync(process.execPath, args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** The fenced blocks of a language. */
const fences = (text: string, language: string): string[] =>
  [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].filter(([, name]) => name === language).map(([, , body]) => body);

/** A command line as a shell splits it: words, and words in double quotes. */
const split = (line: string): string[] =>
  [...line.matchAll(/"([^"]*)"|[^\s"]+/g)].map(([word, quoted]) => quoted ?? word);

const commandsIn = (text: string): string[][] =>
  fences(text, 'sh').flatMap((block) =>
    block
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map(split),
  );

const OCTAVO: Readonly<Record<string, () => Command>> = {
  train: trainCommand,
  generate: generateCommand,
  eval: evalCommand,
  inspect: inspectCommand,
  diff: diffCommand,
  verify: verifyCommand,
  study: studyCommand,
  serve: serveCommand,
};

/** Arguments of an octavo command, parsed by its own parser and not run. */
function octavoProblem(name: string, args: readonly string[]): string | undefined {
  if (!Object.hasOwn(OCTAVO, name)) return `octavo has no command ${name}`;
  const command = OCTAVO[name]()
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .action(() => undefined);
  try {
    command.parse(withDashes(args, command.options), { from: 'user' });
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** What is wrong with a command, or undefined. */
function problemOf([program, ...args]: readonly string[]): string | undefined {
  const missing = (paths: readonly string[]) => paths.find((path) => !existsSync(join(ROOT, path)));
  if (program === 'npm') {
    const [script, rest] = args[0] === 'run' ? [args[1], args.slice(2)] : [args[0], args.slice(1)];
    if (!Object.hasOwn(PACKAGE.scripts, script)) return `package.json has no script ${script}`;
    const file = missing(PACKAGE.scripts[script].split(' ').filter((word) => word.startsWith('scripts/')));
    if (file) return `${script} runs ${file}, which does not exist`;
    if (script === 'start' && rest.length > 0) return octavoProblem('train', ['--data', 'x', ...rest.slice(1)]);
    return rest.length > 0 && rest[0] !== '--' ? `npm keeps ${rest[0]} to itself: expected -- before it` : undefined;
  }
  if (program === 'npx' && args[0] === 'octavo') return octavoProblem(args[1], args.slice(2));
  if (program === 'node' || program === 'python3') {
    const file = missing(args.filter((word) => word.includes('/')));
    return file && `${file} does not exist`;
  }
  return `${program}: expected npm, npx octavo, node or python3`;
}

describe('commands', () => {
  it.each(GUIDES)('%s names only what exists', (path) => {
    const problems = commandsIn(read(path)).flatMap((words) => problemOf(words)?.concat(`: ${words.join(' ')}`) ?? []);
    expect(problems).toEqual([]);
  });

  it('finds commands to check, and what is wrong with a wrong one', () => {
    expect(commandsIn(GUIDES.map(read).join('\n')).length).toBeGreaterThan(10);
    const wrong = [
      'npm run no-such-script',
      'npm start -- --no-such-flag 1',
      'npm test gemm',
      'npx octavo no-such-command',
      'npx octavo train --data book.txt --no-such-flag',
      'npx octavo train',
      'node scripts/no-such-script.mjs',
      'make',
    ];
    for (const line of wrong) expect(problemOf(split(line)), line).toBeTypeOf('string');
  });
});

/** Overrides that make any training command a matter of a second. */
const TINY = {
  'max-iters': 2,
  'n-embd': 32,
  'n-head': 2,
  'n-layer': 1,
  'n-ff': 32,
  'batch-size': 2,
  'block-size': 32,
  'val-fraction': 0.1,
  'checkpoint-interval': 1,
  'eval-interval': 1,
  'sample-interval': 1,
  'monitor-interval': 1,
  'sharpness-interval': 1,
  'warmup-iters': 1,
};
const overrides = Object.entries(TINY).flatMap(([flag, value]) => [`--${flag}`, String(value)]);
const MAIN = join(ROOT, 'dist/cli/main.js');

/**
 * scripts/start.mjs without its set-up: `npm test` has just run that, and a second one, where a source changed meanwhile, would
 * replace what the other suites are reading.
 */
function start(...args: string[]): string {
  const module = (source: string) => `data:text/javascript,${encodeURIComponent(source)}`;
  const setup = module(`export const ROOT = ${JSON.stringify(ROOT)}; export const setup = async () => {};`);
  const hooks = module(
    `export const resolve = (name, context, next) => name === './setup.mjs' ? { url: ${JSON.stringify(setup)}, shortCircuit: true } : next(name, context);`,
  );
  const register = module(`import { register } from 'node:module'; register(${JSON.stringify(hooks)});`);
  return node('--no-warnings', '--import', register, join(ROOT, 'scripts/start.mjs'), ...args);
}

const commands = commandsIn(read('README.md'));
let printed: Map<string, string> | undefined;

/** What the README's octavo commands print, in their order; made once. The run is then in runs/book. */
function printedByReadme(): ReadonlyMap<string, string> {
  if (printed) return printed;
  writeFileSync(join(folder, 'book.txt'), readFileSync(MOBY).subarray(0, 20_000));
  const octavo = commands.filter(([program]) => program === 'npx');
  const results = octavo.map(([, , name, ...args]) => {
    return [name, node(MAIN, name, ...args, ...(name === 'train' ? overrides : []))] as const;
  });
  printed = new Map(results);
  return printed;
}

function fileOfRun(name: string): string {
  printedByReadme();
  return readFileSync(join(folder, 'runs/book', name), 'utf8');
}

describe('what the README says to type', () => {
  it('npm start', () => {
    expect(commands).toContainEqual(['npm', 'start']);
    const out = join(folder, 'demo');
    const text = start('--out-dir', out, '--threads', '2', ...overrides, '--val-fraction', '0.002');
    expect(text).toContain('bits per byte');
    expect(readdirSync(out)).toContain('report.html');
  });

  it('npx octavo, in its order', () => {
    const texts = printedByReadme();
    // A server does not end: test/web.test.ts asks it for its page.
    expect([...texts.keys()]).toEqual(Object.keys(OCTAVO).filter((name) => name !== 'serve'));
    expect(texts.get('study')).toMatch(/^parity\b/m);
    const bits = `${JSON.parse(fileOfRun('summary.json')).val_bits_per_byte.toFixed(4)} bits per byte`;
    expect(texts.get('train')).toContain(bits);
    expect(texts.get('generate')).toMatch(/^Call me/);
    // docs/training.md: what a run reports is what eval measures on the same bytes.
    expect(texts.get('eval')).toContain(bits);
    expect(texts.get('inspect')).toMatch(/q_proj\.weight +F8_E4M3/);
    expect(texts.get('diff')).toMatch(/^\d+ steps in both, the same\nstates of step \d+: 0 of \d+ tensors differ$/m);
    expect(texts.get('verify')).toMatch(/^0 mismatches$/m);
  });
});

/** The text between two markers. */
function marked(path: string, name: string): string {
  const found = read(path).match(new RegExp(`<!-- ${name}:begin -->([\\s\\S]*?)<!-- ${name}:end -->`));
  expect(found, `${path}: ${name}`).not.toBeNull();
  return found![1];
}

/** Rows of a table, its head left out: cells. */
const rowsOf = (text: string): string[][] =>
  text
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .slice(2)
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    );
const codes = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code);

describe('docs/training.md, against the run the README makes', () => {
  const sorted = (names: Iterable<string>) => [...new Set(names)].sort();
  const summary = () => JSON.parse(fileOfRun('summary.json')) as Record<string, unknown>;

  it('names every file', () => {
    const section = read('docs/training.md').split('## What a run writes')[1].split('\n## ')[0];
    printedByReadme();
    const files = readdirSync(join(folder, 'runs/book'));
    expect(sorted(rowsOf(section).flatMap(([file]) => codes(file)))).toEqual(sorted(files));
  });

  it('names every field of summary.json', () => {
    const documented = rowsOf(marked('docs/training.md', 'summary')).flatMap(([fields]) => codes(fields));
    expect(sorted(documented)).toEqual(sorted(Object.keys(summary())));
  });

  it('names every line of metrics.jsonl and its fields', () => {
    const lines = fileOfRun('metrics.jsonl')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const documented = new Map(
      rowsOf(marked('docs/training.md', 'metrics')).map(([type, fields]) => [codes(type)[0], codes(fields)]),
    );
    documented.set('done', Object.keys(summary()));
    // A run that goes well has none.
    expect(documented.delete('anomaly')).toBe(true);
    expect(sorted(lines.map(({ type }) => type))).toEqual(sorted(documented.keys()));
    for (const [type, fields] of documented) {
      const found = lines.filter((line) => line.type === type).flatMap((line) => Object.keys(line));
      expect(sorted([...fields, 'type', 'step']), type).toEqual(sorted(found));
    }
    for (const health of lines.flatMap((line) => Object.values(line.fp8 ?? {}))) {
      expect(sorted(Object.keys(health as object))).toEqual(['amax', 'saturated', 'scale', 'underflowed']);
    }
  });
});

describe.each([
  ['README.md', ['octavo', 'octavo/formats', 'octavo/train']],
  ['docs/formats.md', ['octavo/formats']],
  ['docs/library.md', ['octavo', 'octavo/train', 'octavo/safetensors', 'octavo/verify']],
] as const)('the examples of %s', (document, entries) => {
  const examples = fences(read(document), 'ts');
  const entryOf = (specifier: string) => PACKAGE.exports[`.${specifier.slice('octavo'.length)}`];

  it('are of its entry points', () => {
    const imported = examples.flatMap((code) => [...code.matchAll(/from '(octavo[^']*)'/g)].map(([, name]) => name));
    expect(new Set(imported)).toEqual(new Set(entries));
    expect(examples.length).toBeGreaterThanOrEqual(entries.length);
  });

  it.each(examples.map((code, i) => [i + 1, code] as const))('number %i runs and prints what it says', (i, code) => {
    const expected = [...code.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, text]) => text);
    expect(expected.length, 'lines with console.log(...); // what it prints').toBe(
      code.split('console.log').length - 1,
    );
    const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
    const { outputText } = ts.transpileModule(code, { compilerOptions });
    const linked = outputText.replace(/from '(octavo[^']*)'/g, (_, name: string) => {
      return `from '${pathToFileURL(join(ROOT, entryOf(name).default))}'`;
    });
    const file = join(folder, `${basename(document)}-${i}.mjs`);
    writeFileSync(file, linked);
    expect(node(file).trimEnd().split('\n')).toEqual(expected);
  });
});

it('the examples have the types they use', () => {
  const files = ['README.md', 'docs/formats.md', 'docs/library.md'].flatMap((document) =>
    fences(read(document), 'ts').map((code, i) => {
      const file = join(folder, `${basename(document)}-${i}.ts`);
      writeFileSync(file, code);
      return file;
    }),
  );
  // The kernels are files without types.
  const paths = Object.fromEntries(
    Object.entries(PACKAGE.exports).flatMap(([key, { types }]) =>
      types === undefined ? [] : [[`octavo${key.slice(1)}`, [join(ROOT, types)]]],
    ),
  );
  const program = ts.createProgram(files, {
    paths,
    noEmit: true,
    strict: true,
    skipLibCheck: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    typeRoots: [join(ROOT, 'node_modules/@types')],
    types: ['node'],
  });
  const problems = ts
    .getPreEmitDiagnostics(program)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
  expect(problems).toEqual([]);
});

describe('generated parts', () => {
  it.each(DOCUMENTS as string[])('%s is current (else: node scripts/docs.mjs)', async (path) => {
    expect(await rendered(path)).toBe(read(path));
  });
});

/** Anchor of a heading, as GitHub makes it. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');
const anchorsIn = (path: string): string[] =>
  [...read(path).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading));

/** Links of a text at `path` that lead nowhere. */
function brokenLinks(path: string, text: string): string[] {
  const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link).filter((link) => !/^[a-z]+:/.test(link));
  return links.filter((link) => {
    const [file, anchor] = link.split('#');
    const target = file === '' ? path : join(dirname(path), file);
    return !existsSync(join(ROOT, target)) || (anchor !== undefined && !anchorsIn(target).includes(anchor));
  });
}

/** Paths of this repository in backticks that do not exist. */
const brokenPaths = (text: string): string[] =>
  [...text.matchAll(/`((?:assembly|bench|build|docs|scripts|src|test|\.ci)\/[\w./-]+)`/g)]
    .map(([, path]) => path)
    .filter((path) => !existsSync(join(ROOT, path)));

describe('links and paths', () => {
  it.each(ALL)('%s', (path) => {
    expect(brokenLinks(path, read(path))).toEqual([]);
    expect(brokenPaths(read(path))).toEqual([]);
  });

  it('finds what is broken', () => {
    const links = [
      '[a](README.md)',
      '[b](docs/none.md)',
      '[c](docs/numerics.md#formats)',
      '[d](docs/numerics.md#none)',
      '[e](#none)',
    ];
    expect(brokenLinks('README.md', links.join(' '))).toEqual(['docs/none.md', 'docs/numerics.md#none', '#none']);
    expect(brokenPaths('`src/index.ts` `src/none.ts`')).toEqual(['src/none.ts']);
  });
});

it('docs/formats.md names every value octavo/formats exports', async () => {
  const exported = Object.keys(await import('../src/formats/index.js'));
  // The integers the kernels know formats and modes by, for those who call kernels.
  const text = read('docs/formats.md');
  const missing = exported.filter((name) => !/^[A-Z0-9_]+$/.test(name) && !text.includes(name));
  expect(missing).toEqual([]);
});
