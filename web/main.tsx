/** The page: starts as soon as it is loaded, and fetches each view when it is first shown. */
import { render } from 'preact';
import { App } from './app.js';
import './style.css';

// A file dropped in the wrong place would replace the page and end the training.
for (const type of ['dragover', 'drop']) addEventListener(type, (event) => event.preventDefault());

render(<App />, document.getElementById('app')!);
