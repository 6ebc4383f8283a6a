/** The page: starts as soon as it is loaded; each view is fetched when it is first shown. */
import { render } from 'preact';
import { App } from './app.js';
import './style.css';

render(<App />, document.getElementById('app')!);
