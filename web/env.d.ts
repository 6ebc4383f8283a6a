declare module 'virtual:texts' {
  /** A text bundled with the page (vite.config.mjs). */
  export interface BundledText {
    readonly id: string;
    readonly title: string;
    readonly about: string;
    readonly bytes: number;
    /** Relative to the page. */
    readonly url: string;
  }
  export const TEXTS: readonly BundledText[];
}
