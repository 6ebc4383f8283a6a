/** The address of the page: `#view?name=value&...`. Settings in the address make it possible to share them. */
import { useEffect, useState } from 'preact/hooks';

export const VIEWS = ['train', 'inside', 'generate', 'formats', 'runs'] as const;
export type View = (typeof VIEWS)[number];

export interface Route {
  readonly view: View;
  readonly query: URLSearchParams;
}

export function routeOf(hash: string): Route {
  const [name, query] = hash.replace(/^#/, '').split('?');
  return { view: VIEWS.find((view) => view === name) ?? 'train', query: new URLSearchParams(query) };
}

export const addressOf = (view: View, query?: URLSearchParams): string => {
  const text = query?.toString();
  return `#${view}${text ? `?${text}` : ''}`;
};

export function useRoute(): Route {
  const [route, setRoute] = useState(() => routeOf(location.hash));
  useEffect(() => {
    const follow = () => setRoute(routeOf(location.hash));
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, []);
  return route;
}
