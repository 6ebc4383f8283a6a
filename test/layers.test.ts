/** Structure (docs/architecture.md): layers import to their left only, and each of the few special things is named in its few places. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

const filesBelow = (folder: string): string[] =>
  readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .sort();

const SOURCES = filesBelow('src').map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));
const ASSEMBLY = filesBelow('assembly').map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));

/** What each layer may import, beside itself: layers, single files, packages. The first part of a path below src is its layer. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  formats: [],
  // The loader and the types of the build.
  engine: ['formats', '@assemblyscript/loader', 'build/simd.js'],
  ops: ['formats', 'engine'],
  model: ['formats', 'engine', 'ops'],
  interop: ['formats', 'src/model/config.ts'],
  train: ['formats', 'engine', 'ops', 'model', 'interop'],
  study: ['formats', 'engine', 'ops', 'model', 'interop', 'train'],
  verify: ['formats', 'engine', 'ops'],
  report: ['formats', 'train', 'study', 'uplot'],
  cli: [
    ...['formats', 'engine', 'ops', 'model', 'interop', 'train', 'study', 'verify', 'report'],
    ...['commander', 'cli-progress', 'sirv', 'uplot'],
  ],
  // The library's surface.
  'index.ts': ['formats', 'engine', 'ops'],
};

/** Module specifiers of static, type-only and dynamic imports and of re-exports. */
const importsOf = (text: string): string[] =>
  ts.preProcessFile(text, true, true).importedFiles.map((file) => file.fileName);

/** A relative import as a path from the root, with the extension it has there. */
function target(path: string, specifier: string): string {
  const to = join(dirname(path), specifier);
  if (to.startsWith('src/')) return to.replace(/\.js$/, '.ts');
  return to;
}

const layerOf = (path: string): string => path.split('/')[1];

/** The imports of a file that point the wrong way. */
function badArrows(path: string, text: string): string[] {
  const layer = layerOf(path);
  const allowed = MAY_IMPORT[layer];
  if (!allowed) return [`${path} -> anything: expected a layer of ${Object.keys(MAY_IMPORT).join(', ')}`];
  const isAllowed = (specifier: string) => {
    if (specifier.startsWith('node:')) return true; // the next test's matter
    if (!specifier.startsWith('.')) return allowed.includes(specifier);
    const to = target(path, specifier);
    return allowed.includes(to) || (to.startsWith('src/') && [layer, ...allowed].includes(layerOf(to)));
  };
  return importsOf(text)
    .filter((specifier) => !isAllowed(specifier))
    .map((specifier) => `${path} -> ${specifier}`);
}

/** Nodes of a file for which `describe` gives a word, as `file:line word`. */
function places(path: string, text: string, describe: (node: ts.Node) => string | undefined): string[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    const word = describe(node);
    if (word) found.push(`${path}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1} ${word}`);
    node.forEachChild(visit);
  };
  visit(source);
  return found;
}

/** An identifier that stands for a variable or type of the surroundings, not for a property. */
function reference(node: ts.Node): string | undefined {
  if (!ts.isIdentifier(node)) return undefined;
  const { parent } = node;
  const isName = (ts.isPropertyAccessExpression(parent) || ts.isPropertyAssignment(parent)) && parent.name === node;
  const declares = ts.isClassElement(parent) || ts.isTypeElement(parent);
  return isName || (declares && parent.name === node) ? undefined : node.text;
}

const referenceTo =
  (...names: string[]) =>
  (node: ts.Node): string | undefined => {
    const name = reference(node);
    return name && names.includes(name) ? name : undefined;
  };

const EXACT = 'abs ceil clz32 floor fround imul max min round sign sqrt trunc'.split(' ');
const CONSTANTS = 'E LN10 LN2 LOG10E LOG2E PI SQRT1_2 SQRT2'.split(' ');

/** Functions whose last bit is the engine's choice, and `**`, which is one of them. */
function inexact(node: ts.Node): string | undefined {
  if (node.kind === ts.SyntaxKind.AsteriskAsteriskToken || node.kind === ts.SyntaxKind.AsteriskAsteriskEqualsToken)
    return '**';
  if (!ts.isPropertyAccessExpression(node) || node.expression.getText() !== 'Math') return undefined;
  const { text } = node.name;
  return EXACT.includes(text) || CONSTANTS.includes(text) ? undefined : `Math.${text}`;
}

/** Offending places of all sources outside `allowed`, which names files and folders. */
const outside = (allowed: readonly string[], describe: (node: ts.Node) => string | undefined): string[] =>
  SOURCES.filter(({ path }) => !allowed.some((place) => path === place || path.startsWith(`${place}/`))).flatMap(
    ({ path, text }) => places(path, text, describe),
  );

describe('layers', () => {
  it('import to their left only', () => {
    expect(SOURCES.length).toBeGreaterThan(50);
    expect(SOURCES.flatMap(({ path, text }) => badArrows(path, text))).toEqual([]);
  });

  it('node: is named in cli and in seven files of engine', () => {
    const allowed = ['bytes', 'lock', 'pool', 'worker', 'runtime', 'store', 'turbo'].map(
      (name) => `src/engine/${name}.ts`,
    );
    const found = SOURCES.filter(
      ({ path, text }) => layerOf(path) !== 'cli' && importsOf(text).some((name) => name.startsWith('node:')),
    );
    expect(found.map(({ path }) => path).filter((path) => !allowed.includes(path))).toEqual([]);
  });

  it('WebAssembly is named in engine', () => {
    expect(outside(['src/engine'], referenceTo('WebAssembly'))).toEqual([]);
  });

  it('kernels are called in ops, and by what judges them', () => {
    const call = (node: ts.Node) =>
      ts.isPropertyAccessExpression(node) && ['parallel', 'kernels'].includes(node.name.text)
        ? `.${node.name.text}`
        : undefined;
    expect(outside(['src/engine', 'src/ops', 'src/verify/exhaustive.ts'], call)).toEqual([]);
  });

  it('the DOM is named in the page of the report', () => {
    expect(outside(['src/report/page'], referenceTo('document', 'window'))).toEqual([]);
  });

  it('no function whose bits differ between engines reaches a number', () => {
    expect(outside(['src/report'], inexact)).toEqual([]);
    expect(
      outside(['src/report'], (node) =>
        ts.isElementAccessExpression(node) && node.expression.getText() === 'Math' ? 'Math[]' : undefined,
      ),
    ).toEqual([]);
  });
});

describe('kernels', () => {
  it('import two files of integers from the host, and each other', () => {
    const shared = ['src/engine/units', 'src/formats/constants'];
    const found = ASSEMBLY.flatMap(({ path, text }) =>
      importsOf(text).map((specifier) => ({ path, to: join(dirname(path), specifier) })),
    );
    expect(found.length).toBeGreaterThan(30);
    const bad = found.filter(({ to }) => !shared.includes(to) && !ASSEMBLY.some(({ path }) => path === `${to}.ts`));
    expect(bad.map(({ path, to }) => `${path} -> ${to}`)).toEqual([]);
    expect([...new Set(found.map(({ to }) => to).filter((to) => to.startsWith('src/')))].sort()).toEqual(shared);
  });

  it('what both compilers read is integers without types, and imports nothing', () => {
    for (const path of ['src/engine/units.ts', 'src/formats/constants.ts']) {
      const { text } = SOURCES.find((source) => source.path === path)!;
      expect(importsOf(text), path).toEqual([]);
      const statements = [...ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true).statements];
      for (const statement of statements)
        expect(statement.getText(), path).toMatch(/^export const [A-Z0-9_]+ = -?(0x)?[0-9a-f]+;$/);
      expect(statements.length).toBeGreaterThan(5);
    }
  });
});

describe('these checks', () => {
  it('see every kind of import', () => {
    const bad = (path: string, text: string) => badArrows(path, text).length;
    expect(bad('src/ops/x.ts', "import { a } from '../model/casts.js';")).toBe(1);
    expect(bad('src/ops/x.ts', "import type { A } from '../model/casts.js';")).toBe(1);
    expect(bad('src/ops/x.ts', "export { a } from '../train/index.js';")).toBe(1);
    expect(bad('src/ops/x.ts', "const a = await import('../cli/main.js');")).toBe(1);
    expect(bad('src/ops/x.ts', "import 'commander';")).toBe(1);
    expect(bad('src/interop/x.ts', "import { a } from '../model/params.js';")).toBe(1);
    expect(bad('src/interop/x.ts', "import { a } from '../model/config.js';")).toBe(0);
    expect(bad('src/train/x.ts', "import { a } from '../../test/helpers/rng.js';")).toBe(1);
    expect(bad('src/other/x.ts', '')).toBe(1);
    expect(bad('src/ops/x.ts', "import { a } from '../engine/arena.js';\n// import '../cli/main.js'")).toBe(0);
  });

  it('see every kind of use, and not comments, strings or members of the same name', () => {
    const count = (text: string, describe: (node: ts.Node) => string | undefined) =>
      places('x.ts', text, describe).length;
    expect(count('const a = Math.exp(1) + Math.random() + 2 ** 3; let b = 1; b **= 2;', inexact)).toBe(4);
    expect(count('/** Math.exp(1) ** 2 */ const a = "Math.pow(2, 3)" + Math.PI + Math.sqrt(2);', inexact)).toBe(0);
    expect(
      count('document.title; f(window); let m: WebAssembly.Memory;', referenceTo('document', 'window', 'WebAssembly')),
    ).toBe(3);
    expect(
      count('x.document(); const y = { window: 1 }; class A { document() {} }', referenceTo('document', 'window')),
    ).toBe(0);
  });
});
