/** The page: starts as soon as it is loaded; each view is fetched when it is first shown. */
import { render } from 'preact';
import { App } from './app.js';
import './style.css';

// A file dropped beside its place would take the page's, and end what trains.
for (const type of ['dragover', 'drop']) addEventListener(type, (event) => event.preventDefault());

render(<App />, document.getElementById('app')!);
