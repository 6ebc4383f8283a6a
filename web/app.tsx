/** The frame around the views: header, navigation, and the detected capabilities of the page. */
import type { ComponentType } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { addressOf, useRoute, type View } from './route.js';
import { useRuns } from './run/runs.js';
import { ThemeToggle } from './ui/theme.js';
import { Threads } from './ui/threads.js';

const TITLES: Readonly<Record<View, string>> = {
  train: 'Train',
  inside: 'Look inside',
  generate: 'Generate',
  formats: 'Formats',
  runs: 'Runs',
};

const LOADERS: Readonly<Record<View, () => Promise<ComponentType>>> = {
  train: async () => (await import('./train/view.js')).TrainView,
  inside: async () => {
    const { InsideView } = await import('./inside/index.js');
    return () => {
      const { current, records } = useRuns();
      return <InsideView run={current} runs={records} />;
    };
  },
  generate: async () => (await import('./generate/view.js')).GenerateView,
  formats: async () => (await import('./formats/index.js')).FormatsView,
  runs: async () => (await import('./runs/view.js')).RunsView,
};
const loaded = new Map<View, ComponentType>();

function useView(view: View): { View?: ComponentType; error?: string } {
  const [state, setState] = useState<{ of?: View; error?: string }>({});
  useEffect(() => {
    if (loaded.has(view)) return;
    LOADERS[view]().then(
      (component) => {
        loaded.set(view, component);
        setState({ of: view });
      },
      (error) => setState({ of: view, error: String(error) }),
    );
  }, [view]);
  return { View: loaded.get(view), error: state.of === view ? state.error : undefined };
}

export function App() {
  const { view } = useRoute();
  const { View, error } = useView(view);
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  useEffect(() => {
    document.title = `${TITLES[view]} – Octavo`;
    // After following a link, keyboard users continue from the view.
    if (!first.current) main.current?.focus({ preventScroll: true });
    first.current = false;
  }, [view]);
  return (
    <>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        Skip to content
      </button>
      <header class="top">
        <a class="mark" href={addressOf('train')} aria-label="Octavo">
          <svg viewBox="0 0 24 24" aria-hidden="true">
            <path d="M3 4.5h18v15H3zM7.5 4.5v15M12 4.5v15M16.5 4.5v15M3 12h18" />
          </svg>
          <span>Octavo</span>
        </a>
        <nav aria-label="Views">
          {(Object.keys(TITLES) as View[]).map((name) => (
            <a key={name} href={addressOf(name)} aria-current={name === view ? 'page' : undefined}>
              {TITLES[name]}
            </a>
          ))}
        </nav>
        <ThemeToggle />
      </header>
      <main ref={main} id="main" tabIndex={-1}>
        {View && <View />}
        {!View && !error && <p class="muted">Loading …</p>}
        {error && (
          <p class="notice danger" role="alert">
            This part of the page could not be loaded ({error}). Reload the page to try again.
          </p>
        )}
      </main>
      <footer>
        <Threads />
        <p>Texts and models stay on this machine: the page sends nothing anywhere.</p>
      </footer>
    </>
  );
}
