/** Bundles the page into dist/web, from the sources in this folder and from the compiled library in dist, which must be built first. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { defineConfig } from 'vite';
import { contentSecurityPolicy } from '../dist/cli/serve.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DATASETS = join(ROOT, 'node_modules/@stdlib');

/** The addresses of these years, concatenated. */
function addresses(from, to) {
  const folder = join(DATASETS, 'datasets-sotu/data');
  const names = readdirSync(folder).filter((name) => {
    const year = Number.parseInt(name, 10);
    return name.endsWith('.txt') && year >= from && year <= to;
  });
  return names
    .sort()
    .map((name) => readFileSync(join(folder, name), 'utf8').trim())
    .join('\n\n');
}

/** Texts bundled with the page, each as a file that is fetched when it is chosen. */
const TEXTS = [
  {
    id: 'moby-dick',
    title: 'Moby-Dick',
    about: 'Herman Melville, 1851',
    content: () => readFileSync(join(DATASETS, 'datasets-moby-dick/data/data.txt'), 'utf8'),
  },
  {
    id: 'sotu-early',
    title: 'State of the Union, 1790 to 1840',
    about: 'addresses of Washington to Van Buren',
    content: () => addresses(1790, 1840),
  },
  {
    id: 'sotu-late',
    title: 'State of the Union, 1981 to 2019',
    about: 'addresses of Reagan to Trump',
    // Not the addresses after these, for the reason given in src/cli/study/corpus.ts.
    content: () => addresses(1981, 2019),
  },
];

/** `virtual:texts`: the list of texts to choose from; the files go to texts/. */
function texts() {
  const made = TEXTS.map(({ content, ...text }) => ({ ...text, content: Buffer.from(content()) }));
  return {
    name: 'octavo-texts',
    resolveId: (id) => (id === 'virtual:texts' ? '\0texts' : undefined),
    load(id) {
      if (id !== '\0texts') return undefined;
      const list = made.map(({ content, ...text }) => ({
        ...text,
        bytes: content.length,
        url: `texts/${text.id}.txt`,
      }));
      return `export const TEXTS = ${JSON.stringify(list)};`;
    },
    generateBundle() {
      for (const { id, content } of made)
        this.emitFile({ type: 'asset', fileName: `texts/${id}.txt`, source: content });
    },
  };
}

/** Adds the policy to the page, for hosts that send no headers of their own. */
const policy = {
  name: 'octavo-policy',
  transformIndexHtml: () => [
    {
      tag: 'meta',
      attrs: { 'http-equiv': 'Content-Security-Policy', content: contentSecurityPolicy },
      injectTo: 'head-prepend',
    },
  ],
};

/** Adds a compressed copy, about a third of the size, beside each file, for servers that can send either (src/cli/serve.ts). */
const compressed = {
  name: 'octavo-gzip',
  writeBundle: ({ dir }, bundle) => {
    for (const name of Object.keys(bundle)) {
      const path = join(dir, name);
      writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
    }
  },
};

const library = [{ find: /^(\.\.\/)+src\/(.*)$/, replacement: `${join(ROOT, 'dist')}/$2` }];

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  base: './',
  resolve: { alias: library },
  plugins: [texts(), policy, compressed],
  worker: { format: 'es' },
  build: {
    outDir: join(ROOT, 'dist/web'),
    emptyOutDir: true,
    rolldownOptions: {
      input: ['index.html', 'report.html'].map((page) => fileURLToPath(new URL(page, import.meta.url))),
    },
    // Browsers with WebAssembly SIMD, light-dark() and the origin's private file system.
    target: ['chrome123', 'firefox128', 'safari17.5'],
    // A policy without data: URLs allows no inlined files.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
