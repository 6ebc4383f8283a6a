/** Light or dark: follows the system unless the reader chooses, and remembers the choice. */
import { useState } from 'preact/hooks';

const KEY = 'octavo-theme';
const THEMES = ['system', 'light', 'dark'] as const;
type Theme = (typeof THEMES)[number];
const NAMES: Readonly<Record<Theme, string>> = { system: 'Auto', light: 'Light', dark: 'Dark' };

/** Storage may be forbidden; then the choice lasts only as long as the page. */
function kept(): Theme {
  try {
    return THEMES.find((theme) => theme === localStorage.getItem(KEY)) ?? 'system';
  } catch {
    return 'system';
  }
}

function apply(theme: Theme): void {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  dispatchEvent(new Event('themechange'));
}

apply(kept());

export function ThemeToggle() {
  const [theme, setTheme] = useState<Theme>(kept);
  const choose = (next: Theme) => {
    setTheme(next);
    apply(next);
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // Storage may be forbidden here too.
    }
  };
  return (
    <label class="theme small">
      <span class="muted">Colours</span>
      <select value={theme} onChange={(event) => choose(event.currentTarget.value as Theme)}>
        {THEMES.map((name) => (
          <option key={name} value={name}>
            {NAMES[name]}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Calls `draw` whenever colours change, for canvases, to which style sheets do not apply. Returns the function that stops this. */
export function onThemeChange(draw: () => void): () => void {
  const system = matchMedia('(prefers-color-scheme: dark)');
  system.addEventListener('change', draw);
  addEventListener('themechange', draw);
  return () => {
    system.removeEventListener('change', draw);
    removeEventListener('themechange', draw);
  };
}

/** A colour property of the style sheet, as a value for canvases. */
export const colourOf = (property: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(property).trim();
